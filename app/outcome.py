"""What a job ended with: a completion or an error, never both, and never the one disguised as the other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Mapping

#: a response header: what the answer cost at list prices, US dollars; not there when nobody knows
COST_HEADER = "x-nightshift-cost-usd"
#: a response header: what the prompt cache saved of it, US dollars, below 0 for what it added; not there when nobody knows, or it did neither
SAVED_HEADER = "x-nightshift-cache-saved-usd"
#: the header that names the fields of a request that had no effect
IGNORED = "x-nightshift-ignored"
#: the header that names the way to Claude by which it was answered, or refused (`app.ways`)
WAY_HEADER = "x-nightshift-way"
#: the header of an answer that was there already, and its value; Claude was not asked (`workers.answer_cache`)
CACHE_HEADER, CACHE_HIT = "x-nightshift-cache", "hit"
#: beside the ways, where answers are counted by these
CACHE = "cache"
_RESPONSES_NAMES = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}


@dataclass(frozen=True)
class Outcome:
    """Exactly one of `body` (OpenAI's response object) and `error` is set."""

    body: dict[str, Any] | None = None
    error: ErrorReply | None = None
    #: response headers that belong to this outcome, e.g. the cost
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.body is None) == (self.error is None):
            raise ValueError("an outcome is a body or an error")

    def to_json(self) -> str:
        """For the store; `from_json` reads it back."""
        return json.dumps(
            {"body": self.body, "error": self.error and self.error.to_dict(), "headers": self.headers},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @property
    def cost_usd(self) -> float | None:
        """What it cost at list prices, US dollars; None: nobody knows."""
        cost = self.headers.get(COST_HEADER)
        return None if cost is None else float(cost)

    @property
    def cache_saved_usd(self) -> float:
        """What the prompt cache is known to have saved of that, US dollars; below 0 for what it added."""
        return float(self.headers.get(SAVED_HEADER, 0.0))

    @property
    def way(self) -> str:
        """Which way to Claude it came; several where its choices came by several; empty: nobody was asked."""
        return self.headers.get(WAY_HEADER, "")

    @property
    def source(self) -> str:
        """The way, or `cache`; empty: nobody was asked."""
        return CACHE if CACHE_HEADER in self.headers else self.way

    def by(self, way: str) -> Outcome:
        """The same, having come this way."""
        return replace(self, headers={**self.headers, WAY_HEADER: way})

    def size(self) -> int:
        """As stored, bytes."""
        return len(self.to_json().encode())

    @classmethod
    def from_json(cls, text: str | bytes) -> Outcome:
        """The inverse of `to_json`."""
        data = json.loads(text)
        error = data["error"]
        return cls(data["body"], ErrorReply.from_dict(error) if error else None, data["headers"])


def tokens(usage: Mapping[str, Any], name: str, detail: str = "") -> int:
    """Of a chat completion's usage or a response's, by the former's name; `detail`: what its details name so. 0: it says nothing."""
    name = name if name in usage else _RESPONSES_NAMES[name]
    if not detail:
        return int(usage.get(name) or 0)
    return int((usage.get(f"{name}_details") or {}).get(detail) or 0)
