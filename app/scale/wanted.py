"""How many workers would finish everything in time. Pure: a demand and a time in, a number with its reason out.

Batches get what they need to end before their deadlines, with `SLACK` of their whole time to spare, the nearest deadline first;
requests that wait, and the reserve, get theirs beside. What nothing can be done about now (a closed gate, a budget that is used up) asks for
no further worker. A worker that is stopped may lose a turn, so one that is there is let go only when the others are clearly enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: requests that wait for an answer should begin within this, seconds
WAIT_SECONDS = 30.0
#: the share of its whole time by which a batch is to be done before its deadline: what is measured changes
SLACK = 0.15
#: what is closed for less than this keeps the workers that there are, seconds
SHORT_SECONDS = 600.0
#: how much more than is needed the workers that stay must be good for before one goes
_SPARE = 1.1
#: two floats that should be equal are
_TINY = 1e-9
#: the need for one worker, however little it has to do
_SOME = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNeed:
    """One batch's lines that workers have still to run."""

    id: str
    #: those that may run, now or once it opens: none beyond what its budget, its trial and its parts leave
    lines: int
    #: as measured; None: nothing is known yet
    seconds_per_line: float | None
    #: when it expires, seconds since the epoch
    due_at: float
    #: when its lines may start: not in the future while they may; `inf`: nobody knows
    opens_at: float
    #: how long they may run until then, seconds: the hours in which its window is open
    open_seconds: float
    #: the same from its beginning to its deadline
    whole_seconds: float
    #: whether it is the gate that keeps them, and not the hours alone: somebody has to try whether it still does
    is_gated: bool = False
    #: those hours as they are written (`app.window`); batches with the same ones share workers
    hours: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """All that workers are needed for at one moment, and those that there are."""

    #: requests that are no lines of batches: those that wait in the queue, and those that run
    waiting: int = 0
    running: int = 0
    #: how long one runs, as measured; None: nothing is known yet
    seconds_per_request: float | None = None
    #: when the gate opens for all requests: not in the future while it is open; `inf`: nobody knows
    opens_at: float = 0.0
    #: why it is closed (`gate.Cause`); empty: it is open
    closed: str = ""
    #: whether it is a pause, at which no worker can do anything
    is_paused: bool = False
    batches: Sequence[BatchNeed] = ()
    reserve: int = 0
    #: lines of all batches that may be in flight at once; 0: a few for each worker
    lines_at_once: int = 0
    alive: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to have."""

    workers: int
    #: in words, for people
    reason: str
    #: workers that requests and the reserve take of it, and those that batches take
    for_requests: float = 0.0
    for_batches: float = 0.0


@dataclass(frozen=True, slots=True)
class _Needs:
    requests: float
    batches: float

    @property
    def total(self) -> float:
        return self.requests + self.batches


def workers_wanted(demand: Demand, now: float) -> Wanted:
    """For that demand at that second (since the epoch)."""
    open_now = _needs(demand, now, now)
    soon = _needs(demand, now, now + SHORT_SECONDS)
    ever = _needs(demand, now, math.inf)
    workers = max(_whole(open_now.total), min(_whole(soon.total), demand.alive))
    if workers < demand.alive:
        workers = min(demand.alive, max(workers, _whole(open_now.total * _SPARE)))
    if not workers and ever.total and _is_to_be_tried(demand):
        # Limits are raised and logins mended early: one has to try.
        return Wanted(workers=1, reason=f"{_closed_words(demand, now)} One worker tries whether it still is.")
    return Wanted(
        workers=workers,
        reason=_words(demand, open_now, now) if open_now.total else _idle_words(demand, ever, workers, now),
        for_requests=open_now.requests,
        for_batches=open_now.batches,
    )


def _needs(demand: Demand, now: float, until: float) -> _Needs:
    """Of what is open by `until`."""
    batches = [batch for batch in demand.batches if batch.lines > 0 and batch.due_at > now and batch.opens_at <= until]
    return _Needs(_of_requests(demand) if demand.opens_at <= until else 0.0, _of_batches(batches, demand.lines_at_once))


def _of_requests(demand: Demand) -> float:
    seconds = demand.seconds_per_request
    # Each has a worker at most; one is enough to find out how long they take.
    each = 0.0 if seconds is None else min(1.0, seconds / WAIT_SECONDS)
    waiting = max(demand.waiting * each, _SOME) if demand.waiting else 0.0
    return max(float(demand.reserve), demand.running + waiting)


def _of_batches(batches: Sequence[BatchNeed], at_once: int) -> float:
    by_hours: dict[str, list[BatchNeed]] = {}
    for batch in batches:
        by_hours.setdefault(batch.hours, []).append(batch)
    need = sum(_of_group(group) for group in by_hours.values())
    return min(need, float(at_once)) if at_once else need


def _of_group(batches: Iterable[BatchNeed]) -> float:
    """The least rate that has the lines of each deadline, and of those before it, done by then."""
    work, lines, need = 0.0, 0, 0.0
    for batch in sorted(batches, key=lambda batch: batch.due_at):
        lines += batch.lines
        work += batch.lines * (batch.seconds_per_line or 0.0)
        room = _room(batch)
        # A line is run by one worker: at the end there is none for a second one.
        need = max(need, min(work / room, lines) if room > 0 else lines)
    # One is enough to find out how long a line takes.
    return min(max(need, _SOME), float(lines))


def _room(batch: BatchNeed) -> float:
    """Seconds in which its lines are to be done. The slack is used up little by little, so that the last lines are not late."""
    slack = SLACK * batch.whole_seconds
    return max(batch.open_seconds - slack, batch.open_seconds / 3)


def _whole(workers: float) -> int:
    return math.ceil(workers - _TINY)


def _is_to_be_tried(demand: Demand) -> bool:
    return not demand.is_paused and (bool(demand.closed) or any(one.is_gated and one.lines for one in demand.batches))


def _words(demand: Demand, need: _Needs, now: float) -> str:
    said = []
    if need.batches:
        open_ones = [one for one in demand.batches if one.lines > 0 and one.opens_at <= now < one.due_at]
        first = min(open_ones, key=lambda one: one.due_at)
        lines = sum(one.lines for one in open_ones)
        known = (
            "how long one takes is not known yet"
            if first.seconds_per_line is None
            else f"one takes {first.seconds_per_line:.1f} s"
        )
        said.append(
            f"{lines:,} {_plural('line', lines)} of {len(open_ones)} {_plural('batch', len(open_ones))} take"
            f" {_workers(need.batches)}: the nearest deadline is {first.id}'s, {_time(first.due_at)},"
            f" and {known}."
        )
    requests = demand.waiting + demand.running
    if need.requests:
        if requests:
            said.append(
                f"Requests: {demand.waiting:,} in the queue and {demand.running:,} running take {_workers(need.requests)}."
            )
        if demand.reserve:
            said.append(f"NIGHTSHIFT_RESERVE is {demand.reserve}.")
    if demand.closed:
        said.append(_closed_words(demand, now))
    return " ".join(said)


def _idle_words(demand: Demand, ever: _Needs, workers: int, now: float) -> str:
    if not ever.total:
        return "There is nothing to do."
    kept = f" {workers} of the workers that there are stay for it." if workers else ""
    return f"{_closed_words(demand, now)}{kept}"


def _closed_words(demand: Demand, now: float) -> str:
    if demand.closed:
        until = "" if demand.opens_at in (0.0, math.inf) else f" until {_time(demand.opens_at)}"
        return f"The gate is closed{until} ({demand.closed})."
    opens = min((one.opens_at for one in demand.batches if one.opens_at > now), default=math.inf)
    until = "" if opens == math.inf else f" before {_time(opens)}"
    return f"No line may start{until}."


def _workers(number: float) -> str:
    if number < 1:
        return "less than one worker"
    return "1 worker" if number == 1 else f"{number:.1f} workers"


def _plural(word: str, number: float) -> str:
    if number == 1:
        return word
    return f"{word}es" if word.endswith("ch") else f"{word}s"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
