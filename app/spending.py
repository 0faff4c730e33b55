"""What each way to Claude has spent in the present day and month of UTC, by the costs that are known, and which is at its cap.

It is counted in the step that publishes an outcome: once for each answer, whoever dies or repeats what.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app import clock, gate
from app.gate import Cause, Gate
from app.scopes import Scope
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from app.counters import Counting
    from app.outcome import Outcome
    from app.ways import Cap, Step

#: how long what was spent in a day or month is kept after its last answer, seconds
_KEEP_SECONDS = {"day": 3 * 86400, "month": 33 * 86400}
_FORMATS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
#: fields of the hash: millionths of a dollar; answers whose cost nobody knows
_MICRO_USD, _UNPRICED = "micro_usd", "unpriced"


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


def count(pipe: Counting, outcome: Outcome, now: float) -> None:
    """Put on the pipeline of a job's last step what its answer cost. Nothing for a job that Claude was not asked for."""
    if outcome.way in [*Way]:
        add(pipe, Way(outcome.way), outcome.cost_usd, now, is_answer=outcome.body is not None)


def add(pipe: Counting, way: Way, usd: float | None, now: float, *, is_answer: bool = True) -> None:
    """The same of one answer, or of a failure that was paid for (`is_answer`: no). None: its cost is not known."""
    if not usd and (usd is not None or not is_answer):
        return
    for period, seconds in _KEEP_SECONDS.items():
        key = _key(way, period, now)
        if usd is None:
            pipe.hincrby(key, _UNPRICED, 1)
        else:
            pipe.hincrby(key, _MICRO_USD, round(usd * 1_000_000))
        pipe.expire(key, seconds)


def read(connection: Redis, ladder: Iterable[Step]) -> dict[Way, Spent]:
    """Of each way that has a cap, in one round trip."""
    capped = [(step.way, step.cap) for step in ladder if step.cap is not None]
    if not capped:
        return {}
    now, pipe = clock.now(), connection.pipeline(transaction=False)
    for way, cap in capped:
        pipe.hmget(_key(way, cap.period, now), _MICRO_USD, _UNPRICED)
    return {
        way: Spent(cap, int(spent or 0) / 1_000_000, int(unpriced or 0), end_of(cap.period, now))
        for (way, cap), (spent, unpriced) in zip(capped, pipe.execute(), strict=True)
    }


def keep_caps(connection: Redis, ladder: Iterable[Step]) -> list[Way]:
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


def _key(way: Way, period: str, now: float) -> str:
    return f"nightshift:spent:{way}:{datetime.fromtimestamp(now, UTC).strftime(_FORMATS[period])}"


def end_of(period: str, now: float) -> float:
    """When the day or month of UTC ends that `now` is in, seconds since the epoch."""
    begins = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return (begins + timedelta(days=1)).timestamp()
    return (begins.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
