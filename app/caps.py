"""The caps that `NIGHTSHIFT_WAYS` may give the ways to Claude: what each has spent of its own, and the gate of one that is at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import budgets, clock, gate, spending
from app.gate import Cause, Gate
from app.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from app.ways import Cap, Step, Way


@dataclass(frozen=True)
class Spent:
    """What a way with a cap has spent."""

    cap: Cap
    usd: float
    #: answers whose cost nobody knows: no part of `usd`
    unpriced: int
    #: when the day or month ends, seconds since the epoch
    until: float

    @property
    def is_at_cap(self) -> bool:
        """Whether nothing more may be spent."""
        return self.usd >= self.cap.usd


def read(connection: Redis, ladder: Iterable[Step]) -> dict[Way, Spent]:
    """Of each way that has a cap, in one round trip."""
    capped = [(step.way, step.cap) for step in ladder if step.cap is not None]
    if not capped:
        return {}
    pipe: Any = connection.pipeline(transaction=False)
    now = clock.now()
    for way, cap in capped:
        pipe.execute_command(*spending.reading(way, cap.period, now))
    found = map(spending.sums_of, pipe.execute())
    return {
        way: Spent(cap, sums.micro_usd / 1_000_000, sums.unpriced, budgets.end_of(cap.period, now))
        for (way, cap), sums in zip(capped, found, strict=True)
    }


def keep(connection: Redis, ladder: Iterable[Step]) -> list[Way]:
    """Close the gate of each way that has come to its cap, until its day or month ends. Those that were closed now.

    Opens what was closed so where more may be spent: a new day, a higher cap, or none any more.
    """
    ladder = [*ladder]
    spent, closings = read(connection, ladder), gate.read_closings(connection)
    closed_now = []
    for way in [step.way for step in ladder]:
        closed, one = closings.scopes.get(Scope(way)), spent.get(way)
        is_closed = closed is not None and closed.cause is Cause.SPENDING
        if one is not None and one.is_at_cap:
            if not is_closed or (closed is not None and closed.until != one.until):
                Gate(connection, Scope(way)).close(Cause.SPENDING, one.until, words(way, one), str(one.cap))
                closed_now.append(way)
        elif is_closed:
            Gate(connection, Scope(way)).open()
    return closed_now


def words(way: Way, spent: Spent) -> str:
    """Why it is closed, for people."""
    name = "NIGHTSHIFT_WAYS caps"
    return f"${spent.usd:.2f} of this {spent.cap.period} are spent by {way}, which {name} at {spent.cap}"
