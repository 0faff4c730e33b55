"""The models behind the aliases, by the names that the Messages API and the price tables have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.messages.request import MessagesRequest

#: as Claude's CLI 2.1.332 has them
ALIASES = {"haiku": "claude-haiku-5-5", "sonnet": "claude-sonnet-5-5", "opus": "claude-opus-5-5"}
#: behind a model's name: its context window of a million tokens, which is asked for by a header
LARGE = "[1m]"


def aliases_of(environ: Mapping[str, str]) -> dict[str, str]:
    """`ALIASES`, or what the user's `ANTHROPIC_DEFAULT_SONNET_MODEL` and its like say, which Claude's CLI reads, too."""
    return {name: environ.get(f"ANTHROPIC_DEFAULT_{name.upper()}_MODEL") or model for name, model in ALIASES.items()}


def model_of(request: MessagesRequest, aliases: Mapping[str, str] = ALIASES) -> str:
    """The model's name at the API."""
    model = request.model.removesuffix(LARGE)
    return aliases.get(model, model)
