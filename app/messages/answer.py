"""Claude's answer to a request, and the pieces that it comes in: text of whole characters, since half of a surrogate pair has no UTF-8, and no store takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.ways import Way


@dataclass(frozen=True)
class Window:
    """One of a subscription's: how much is used, 0 to 1 and beyond, and when it begins anew, epoch seconds."""

    name: str
    utilization: float
    resets_at: float


#: reasons with which an answer is complete, or as complete as it will be; `pause_turn` and any other leave it unfinished
STOP_REASONS = frozenset(
    {"end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded", "tool_use", "refusal"}
)


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants called; `name` is the caller's own."""

    id: str
    name: str
    input: Any
    #: the input as JSON text, letter for letter as it came; not to its end when the answer was cut
    arguments: str = "{}"


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer's text while it is written, and the model that writes it."""

    text: str
    model: str


@dataclass(frozen=True)
class CallDelta:
    """A piece of a call while it is written: its beginning, with no arguments yet, or some of their JSON text."""

    #: which of the answer's calls
    index: int
    id: str
    name: str
    is_begin: bool
    arguments: str
    model: str


Delta = TextDelta | CallDelta


@dataclass(frozen=True)
class Answer:
    """The model's answer to one request."""

    text: str
    #: as the API said it: `end_turn`, `max_tokens`, `stop_sequence`, `refusal`, `tool_use`, ...
    stop_reason: str
    #: the model that answered, which may be more exact than the one asked for
    model: str
    #: as the API reported it; when the turn took several API calls, their token counts are added up
    usage: dict[str, Any]
    #: at list prices, USD; None when nobody said
    cost_usd: float | None
    #: of that, what the prompt cache has saved, USD, below 0 where it cost more; None when nobody knows
    cache_saved_usd: float | None = None
    #: the subscription's windows, as the API reported them last; none with a key
    windows: tuple[Window, ...] = ()
    #: the calls by which the value came that was wanted (`OutputSpec.value`): several where a function has to be called
    value_calls: tuple[ToolCall, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    #: from handing over the request to the first text, seconds; None when there was no text
    first_token_seconds: float | None = None
    #: from handing over the request to the end, seconds
    duration_seconds: float = 0.0
    #: the API's ids of the messages behind the answer
    message_ids: tuple[str, ...] = field(default=())
    #: thinking text, where the request asked for it
    thinking: str = ""
    #: the stop sequence that ended the answer, when `stop_reason` is `stop_sequence`
    stop_sequence: str | None = None
    #: which way it came
    way: Way = Way.CLI


def add_usage(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """Two usages as one: numbers are added, objects merged, anything else taken from the later."""
    total = dict(one)
    for key, value in two.items():
        before = total.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            total[key] = add_usage(before, value)
        elif _is_number(value) and _is_number(before):
            total[key] = before + value
        else:
            total[key] = value
    return total


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")


def whole(text: str) -> str:
    """The text with its pairs joined; half of one alone is U+FFFD."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Characters:
    """A text that comes in pieces, which may part a pair."""

    def __init__(self) -> None:
        self._kept = ""

    def add(self, piece: str) -> str:
        """What is complete of it now: a first half waits for its second."""
        text = self._kept + piece
        self._kept = text[-1:] if _FIRST_HALF.search(text) else ""
        return whole(text.removesuffix(self._kept))

    def end(self) -> str:
        """What was still waiting."""
        kept, self._kept = self._kept, ""
        return whole(kept)
