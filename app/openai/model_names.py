"""Names of models: what clients may ask for, and the Claude model it means."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING

from app import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

#: what Claude's command line itself resolves to the current model of that size
ALIASES = ("haiku", "sonnet", "opus")

#: the ids that `GET /v1/models` lists; others are passed on all the same
CLAUDE_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5")

#: OpenAI's names that clients send when nobody has chosen one, their siblings, and the Claude model of the nearest size.
#: Seen in November 2026: gpt-3.5-turbo (LangChain, LlamaIndex), gpt-3.5-turbo-instruct (LangChain's completions),
#: gpt-4o (LlamaIndex.TS, mem0), gpt-4o-mini (LightRAG, ragas, LlamaIndex's responses, llm), gpt-4.1 (openai-agents for
#: JavaScript, LlamaIndex's evaluation), gpt-4.1-mini (Graphiti's generic client and reranker, CrewAI, Haystack), gpt-4.1-nano
#: (Graphiti before 0.31), gpt-5-mini and gpt-5.4-nano (Haystack), gpt-5.5 (Graphiti 0.30), gpt-5.6-luna (openai-agents),
#: gpt-6-luna (Graphiti 0.31)
DEFAULT_NAMES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "gpt-3.5-turbo",
            "gpt-3.5-turbo-instruct",
            "gpt-4o-mini",
            "gpt-4.1-mini",
            "gpt-4.1-nano",
            "gpt-5-mini",
            "gpt-5-nano",
            "gpt-5.4-mini",
            "gpt-5.4-nano",
            "gpt-5.6-luna",
            "gpt-6-luna",
        ),
        "haiku",
    )
    | dict.fromkeys(("gpt-4", "gpt-4-turbo", "gpt-4o", "gpt-4.1", "gpt-5.6-terra", "gpt-6-terra"), "sonnet")
    | dict.fromkeys(("gpt-5", "gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.5", "gpt-5.6-sol", "gpt-6-sol"), "opus")
)

#: 2025-10-01, for a list whose clients want a number there
LISTED_SINCE = 1_759_276_800

_CLAUDE_ID = re.compile(r"claude-[a-zA-Z0-9._:@\[\]-]{1,120}")
#: a dated version of one of OpenAI's models means what its name does
_DATE = re.compile(r"-20\d\d-\d\d-\d\d$")


def resolve(name: str, settings: Settings) -> str:
    """The Claude model that `name` means. Raises `ErrorReply` (404 `model_not_found`).

    The first of these that knows the name: NIGHTSHIFT_MODEL_MAP's exact names; haiku, sonnet, opus and NIGHTSHIFT_MODELS; the
    map's patterns, in their order; Claude's ids; `DEFAULT_NAMES`; NIGHTSHIFT_DEFAULT_MODEL. The map takes a name away by
    giving it no model.
    """
    found = _mapped(name, settings)
    if found is None and _CLAUDE_ID.fullmatch(name):
        found = name
    if found is None:
        found = DEFAULT_NAMES.get(_DATE.sub("", name), settings.default_model)
    if not found:
        raise errors.model_not_found(name[:200])
    return found


def resolved_or_itself(name: str, settings: Settings) -> str:
    """The same, and the name itself where it is not known (any more)."""
    try:
        return resolve(name, settings)
    except errors.ErrorReply:
        return name


def listed(settings: Settings) -> Iterator[str]:
    """All names that `GET /v1/models` shows, each once: Claude's first. Patterns, and what answers all others, are not names."""
    mapped = (name for name in settings.model_map if not _is_pattern(name))
    names = dict.fromkeys((*CLAUDE_MODELS, *settings.models, *ALIASES, *mapped, *DEFAULT_NAMES))
    # The map may take a name away, by a pattern, too.
    yield from (name for name in names if _mapped(name, settings) != "")


def _mapped(name: str, settings: Settings) -> str | None:
    if name in settings.model_map:
        return settings.model_map[name]
    if name in ALIASES or name in settings.models:
        return name
    patterns = filter(_is_pattern, settings.model_map)
    return next((settings.model_map[one] for one in patterns if _matches(name, one)), None)


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _matches(name: str, pattern: str) -> bool:
    # Brackets are part of names: claude-sonnet-4-5[1m].
    return fnmatchcase(name, pattern.replace("[", "[[]"))
