"""A batch as the server describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

#: in these nothing moves any more
FINAL = ("completed", "failed", "expired", "cancelled")
#: what waits for somebody's word
_HELD = ("tried", "budget")


@dataclass(frozen=True)
class Batch:
    """How it is at the moment at which it was asked for; `status()` of the client asks again."""

    id: str
    #: OpenAI's: `validating`, `in_progress`, `finalizing`, `completed`, `failed`, `expired`, `cancelling`, `cancelled`
    status: str
    #: requests: all, answered, failed, and never run since it ended before
    total: int
    completed: int
    failed: int
    unrun: int
    #: US dollars so far; None: nobody knows it
    cost_usd: float | None
    #: why nothing moves, as a word and for people, and until when (seconds since the epoch); None: it does, or nobody knows
    waiting_for: str | None
    waiting_reason: str | None
    waiting_until: float | None
    metadata: dict[str, str] = field(repr=False)
    #: everything that the server says of it
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Of the server's object."""
        ours, counts = raw.get("nightshift") or {}, raw["request_counts"]
        return cls(
            id=raw["id"],
            status=raw["status"],
            total=counts["total"],
            completed=counts["completed"],
            failed=counts["failed"],
            unrun=ours.get("unrun") or 0,
            cost_usd=ours.get("cost_usd"),
            waiting_for=ours.get("waiting_for"),
            waiting_reason=ours.get("waiting_reason"),
            waiting_until=ours.get("waiting_until"),
            metadata=dict(raw.get("metadata") or {}),
            raw=raw,
        )

    @property
    def done(self) -> int:
        """Requests that have ended."""
        return self.completed + self.failed + self.unrun

    @property
    def has_ended(self) -> bool:
        """Whether nothing moves any more."""
        return self.status in FINAL

    @property
    def is_held(self) -> bool:
        """Whether it waits for your word: `continue_()` or `cancel()`."""
        return not self.has_ended and self.waiting_for in _HELD

    @property
    def faults(self) -> list[dict[str, Any]]:
        """What is wrong with the file of a batch that `failed`."""
        return list((self.raw.get("errors") or {}).get("data") or [])
