"""Names of models: what clients may ask for, and the Claude model it means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings

#: what Claude's command line itself resolves to the current model of that size
ALIASES = ("haiku", "sonnet", "opus")

#: the ids that `GET /v1/models` lists; others are passed on all the same
CLAUDE_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")

#: 2025-10-01, for a list whose clients want a number there
LISTED_SINCE = 1_759_276_800

_CLAUDE_ID = re.compile(r"claude-[a-zA-Z0-9._:@\[\]-]{1,120}")


def resolve(name: str, settings: Settings) -> str:
    """The Claude model that `name` means. Raises `ErrorReply` (404 `model_not_found`)."""
    if mapped := settings.model_map.get(name):
        return mapped
    if name in ALIASES or name in settings.models or _CLAUDE_ID.fullmatch(name):
        return name
    raise errors.model_not_found(name[:200])


def listed(settings: Settings) -> Iterator[str]:
    """All names that `GET /v1/models` shows, each once."""
    yield from dict.fromkeys((*CLAUDE_MODELS, *settings.models, *ALIASES, *settings.model_map))
