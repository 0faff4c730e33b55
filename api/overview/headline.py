"""Whether the night goes well, in one sentence: what an operator reads first, and perhaps alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app import clock
from app.batches.record import OF_ACCOUNTS, BatchStatus, Hold
from app.batches.waits import clause
from app.gate import BY_HAND, Cause
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.overview.snapshot import Batch, Snapshot, Worker
    from app.gate import Closed
    from app.history import Ended

Tone = Literal["good", "waiting", "bad"]

#: this many failures, and this share of what ended, make a night that goes badly
_MANY_FAILURES, _LARGE_SHARE = 5, 0.1
#: a time further ahead is as good as none, seconds
_FOR_EVER = 10 * 365 * 86400
_STALLED = (Hold.FILES_ELSEWHERE, Hold.FILES_UNUSABLE)
#: what keeps a batch from going on, that nobody says before
_HOLDS = (
    *(Hold.TRIED, Hold.BUDGET, *OF_ACCOUNTS),
    *(Hold.RESERVE, Hold.PACE, Hold.NO_LANE, Hold.NO_WORKERS),
)
_SET_CLOCKS = (
    "Have all machines set their clocks by NTP; until then that one leaves the maintenance to others, if there are any."
)
#: what workers report for a moment after the gate has opened
_GATED = (WorkerState.PAUSED, WorkerState.LIMITED, WorkerState.WAITING_FOR_LOGIN)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in the sentence, that the page shows in the reader's zone and counts down."""

    #: seconds since the epoch
    at: float
    shown: Literal["clock", "countdown"]


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence and what is to be known besides."""

    tone: Tone
    #: for the window's title, and to be read out when it changes
    title: str
    sentence: Sequence[str | Moment]
    details: Sequence[str] = ()


def of(now: Snapshot) -> Headline:
    """The first that holds: nobody works, it may be lost, nothing may be taken, nobody can, batches stand, much fails, all is well."""
    alive = [worker for worker in now.workers if worker.is_alive]
    if not alive:
        return Headline(
            "bad", "No worker is running", ("No worker is running", *_and_waits(now), "."), _workers_gone(now)
        )
    if not now.is_persisting:
        lost = "Redis does not keep on its disk what it holds: what is accepted may be lost with it."
        return Headline("bad", "Redis can't write to its disk", (lost,), ("nightshift doctor says what is wrong.",))
    if now.closed is not None:
        return _closed(now, now.closed)
    if not any(worker.status.state.is_serving or worker.status.state in _GATED for worker in alive):
        return _nobody_serves(now, alive)
    if (standing := _standing(now)) is not None:
        return standing
    gone = len(now.workers) - len(alive)
    details = [f"{gone} of {len(now.workers)} workers {'is' if gone == 1 else 'are'} gone."] if gone else []
    details += [f"The clock of {host} is {clock.words(skew)}." for host, skew in now.clocks_off.items()]
    for ended, title, when in (
        (now.lately, "Much fails", "the last minutes"),
        (now.ended, "Much failed", "these hours"),
    ):
        if said := _much_fails(ended, title, when):
            return Headline("bad", title, (said,), details)
    if now.clocks_off:
        return Headline("bad", "A clock is wrong", (details[-1],), [_SET_CLOCKS, *details[:-1]])
    if now.undelivered:
        details.append(f"{_number(now.undelivered, 'callback')} could not be delivered.")
    if (opens_at := _opens_at(now)) is not None:
        sentence = ("Waiting for the batch window", *_until(opens_at), ".")
        return Headline("waiting", "Waiting for the batch window", sentence, details)
    held = [batch for batch in _running(now.batches) if batch.waiting_for in _HOLDS]
    if held and len(held) == len(_running(now.batches)) and not now.in_progress and now.queued == now.parked:
        return _held(held, details)
    return _at_work(now, alive, [*details, *_words_of(held)])


def _held(held: Sequence[Batch], details: Sequence[str]) -> Headline:
    """Nothing of any batch is started, though it could be: it waits for a word, or for room."""
    number = _number(len(held), "batch", "batches")
    waits = f"{number} wait{'s' if len(held) == 1 else ''}"
    untils = [batch.waiting_until for batch in held]
    until = _until(min(at for at in untils if at)) if all(untils) else ()
    causes = "; ".join(dict.fromkeys(clause(batch.waiting_for or "") for batch in held))
    title = "A batch waits" if len(held) == 1 else "Batches wait"
    reasons = dict.fromkeys(batch.waiting_reason for batch in held if batch.waiting_reason)
    return Headline("waiting", title, (f"{waits}: {causes}", *until, "."), [*details, *reasons])


def _words_of(held: Sequence[Batch]) -> list[str]:
    """Batches that wait while others go on, by cause."""
    counts = Counter(clause(batch.waiting_for or "") for batch in held)
    return [
        f"{_number(number, 'batch', 'batches')} wait{'s' if number == 1 else ''}: {cause}."
        for cause, number in counts.items()
    ]


def _at_work(now: Snapshot, alive: Sequence[Worker], details: Sequence[str]) -> Headline:
    work = _work(now, alive)
    if len(alive) < len(now.workers):
        return Headline("waiting", "A worker is gone", work, details)
    if now.closed_families:
        return _closed_to_some(now, work, details)
    return Headline("good", "All is well", ("All is well: ", *work), details)


def _standing(now: Snapshot) -> Headline | None:
    """Batches that can't go on, whoever works."""
    if not now.has_feeder and any(not batch.record.status.is_final for batch in now.batches):
        said = "The batches stand: no process does their work."
        advice = "nightshift up does it, and so do nightshift api and nightshift worker."
        return Headline("bad", "The batches stand", (said,), (advice,))
    if stalled := [batch for batch in now.batches if batch.waiting_for in _STALLED]:
        said = f"{_number(len(stalled), 'batch', 'batches')} can't go on."
        return Headline("bad", "A batch can't go on", (said,), [batch.waiting_reason or "" for batch in stalled])
    return None


def _much_fails(ended: Ended, title: str, when: str) -> str:
    failed = sum(ended.failed.values())
    if failed < _MANY_FAILURES or failed <= _LARGE_SHARE * (failed + ended.completed):
        return ""
    cause = max(ended.failed, key=lambda one: ended.failed[one])
    return f"{title}: {failed:,} of {failed + ended.completed:,} that ended in {when}, most by {cause}."


def _opens_at(now: Snapshot) -> float | None:
    """When the batch window opens, if that is all that is waited for."""
    running = _running(now.batches)
    if now.queued or now.in_progress or any(batch.waiting_for != Hold.BATCH_WINDOW for batch in running):
        return None
    return min((batch.waiting_until for batch in running if batch.waiting_until is not None), default=None)


def _work(now: Snapshot, alive: Sequence[Worker]) -> list[str | Moment]:
    """Who works, what is done, and when all of it will be."""
    # Of itself a worker speaks every two seconds only, which is long for short requests.
    busy = min(now.in_progress, len(alive))
    all_of = f"{_number(len(alive), 'worker')}" if busy in (0, len(alive)) else f"{busy} of {len(alive)} workers"
    found: list[str | Moment] = [f"{all_of} {'busy' if busy else 'idle'}"]
    running = _running(now.batches)
    if total := sum(batch.record.total for batch in running):
        found.append(f", {sum(batch.record.ended for batch in running):,} of {total:,} done")
        times = [batch.done_at for batch in running]
        if all(times):
            found += [", the rest by about ", Moment(max(time for time in times if time), "clock")]
    elif now.queued:
        found.append(f", {_number(now.queued, 'request')} waiting")
    else:
        found.append(", nothing waits" if busy else ", nothing to do")
    return [*found, "."]


def _closed(now: Snapshot, closed: Closed) -> Headline:
    """Why no job is taken, until when, and how much waits."""
    waits = _and_waits(now)
    reason = [closed.reason] if closed.reason not in ("", BY_HAND) else []
    until = _until(closed.until) if closed.until < now.at + _FOR_EVER else ()
    match closed.cause:
        case Cause.PAUSED:
            return Headline(
                "waiting", "Paused", ("Paused", *(until or (" until somebody resumes",)), *waits, "."), reason
            )
        case Cause.LOGIN:
            return Headline(
                "bad", "Claude's login does not work", ("Claude's login does not work", *waits, "."), reason
            )
        case Cause.USAGE_LIMIT if closed.until <= now.at:
            return Headline(
                "waiting",
                "Trying after the usage limit",
                ("The usage limit should be over: a request tries", *waits, "."),
                reason,
            )
        case Cause.USAGE_LIMIT:
            return Headline(
                "waiting", "Waiting for the usage limit", ("Waiting for the usage limit", *until, *waits, "."), reason
            )
        case Cause.UTILIZATION:
            return Headline(
                "waiting",
                "Leaving the rest of the window to you",
                ("Leaving the rest of Claude's window to you", *until, *waits, "."),
                reason,
            )
        case Cause.SPENDING:
            return Headline(
                "waiting",
                "At the cap on spending",
                ("The cap on spending is reached: waiting", *until, *waits, "."),
                reason,
            )
        case Cause.OVERLOAD:
            return Headline(
                "waiting",
                "Claude is overloaded",
                ("Claude is overloaded; tries again ", Moment(closed.until, "countdown"), *waits, "."),
                reason,
            )
        case Cause.RATE_LIMIT:
            return Headline(
                "waiting",
                "Claude takes no more requests for now",
                ("Claude takes no more requests for now; tries again ", Moment(closed.until, "countdown"), *waits, "."),
                reason,
            )


def _closed_to_some(now: Snapshot, work: Sequence[str | Moment], details: Sequence[str]) -> Headline:
    """Models that wait while others go on."""
    sentence: list[str | Moment] = []
    for family, closed in now.closed_families.items():
        until = _until(closed.until) if closed.until < now.at + _FOR_EVER else ()
        sentence += [f"{family.capitalize()} waits ({str(closed.cause).replace('_', ' ')})", *until, "; "]
    parked = [f"{_number(now.parked, 'request')} parked; "] if now.parked else []
    families = [family.capitalize() for family in now.closed_families]
    title = f"{' and '.join(families)} {'waits' if len(families) == 1 else 'wait'}"
    return Headline("waiting", title, (*sentence, *parked, "the rest goes on: ", *work), details)


def _nobody_serves(now: Snapshot, alive: Sequence[Worker]) -> Headline:
    reasons = sorted({worker.status.reason for worker in alive if worker.status.reason})
    if all(worker.status.state is WorkerState.STARTING for worker in alive):
        return Headline(
            "waiting", "The workers are starting", ("The workers are starting", *_and_waits(now), "."), reasons
        )
    states = ", ".join(sorted({str(worker.status.state).replace("_", " ") for worker in alive}))
    return Headline("bad", "No worker can serve", (f"No worker can serve: {states}", *_and_waits(now), "."), reasons)


def without_redis() -> Headline:
    """Redis can't be read."""
    sentence = "The queue (Redis) is away. What was accepted is kept; work goes on when it is back."
    return Headline("bad", "Redis is away", (sentence,))


def _workers_gone(now: Snapshot) -> list[str]:
    return [f"Last seen: {', '.join(worker.status.name for worker in now.workers)}."] if now.workers else []


def _and_waits(now: Snapshot) -> tuple[str, ...]:
    left = sum(batch.record.total - batch.record.ended for batch in _running(now.batches))
    if left:
        return (f"; {left:,} of {_number(sum(batch.record.total for batch in _running(now.batches)), 'request')} left",)
    return (f"; {_number(now.queued, 'request')} waiting",) if now.queued else ()


def _until(at: float) -> tuple[str | Moment, ...]:
    return (" until ", Moment(at, "clock"), " (", Moment(at, "countdown"), ")")


def _running(batches: Sequence[Batch]) -> list[Batch]:
    return [batch for batch in batches if batch.record.status is BatchStatus.IN_PROGRESS]


def _number(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
