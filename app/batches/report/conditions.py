"""What went on around a batch while it ran: why its lines waited, the workers' memory, their replaced processes.

History forgets after eight days, a batch is remembered longer: so this is written beside it when it ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotation
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from app import history, window
from app.batches.record import Hold
from app.batches.storage import names
from app.openai.model_names import DEFAULT_NAMES
from app.scopes import family_of
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from app.batches.record import BatchRecord
    from app.batches.storage import Readable
    from app.history import RecycleEvent, Sample
    from app.settings import Settings

#: bounds of what is kept: waits (the longest), and points of each worker's curve
MAX_WAITS = 200
MAX_POINTS = 60
#: the sample before the batch's first moment is of interest, too: a small batch may lie between two
LOOK_BACK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A time in which no line was started, by one way to Claude or by all. Seconds since the epoch, within the batch's own."""

    #: as in `app.gate.Cause`, or `Hold.BATCH_WINDOW`: only the batch's own hours made it wait
    cause: str
    reason: str
    limit: str
    since: float
    until: float
    #: whether it went on when this was written
    lasts: bool = False
    #: the way that was closed; empty: all of them, or older code wrote it down
    way: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNight:
    """A worker over that time. Memory is resident, in MiB."""

    name: str
    #: the Claude process and its children, and the worker itself
    peak_mb: float = 0.0
    python_peak_mb: float = 0.0
    #: (second since the epoch, MiB of Claude); of those that lie close together the highest
    memory: tuple[tuple[float, float], ...] = ()
    #: replaced Claude processes, by reason
    recycles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """All of it. `sampled_since`: when the first sample of that time was taken; None: there was none."""

    waits: tuple[Wait, ...] = ()
    #: the ways that its lines could go; empty: older code wrote it down, and there was one
    ways: tuple[str, ...] = ()
    workers: tuple[WorkerNight, ...] = ()
    sampled_since: float | None = None


def gather(connection: Redis, record: BatchRecord, batch_window: str, ways: Sequence[Way], until: float) -> Conditions:
    """From the history as it is. `batch_window`: that of the settings, for a batch that has none of its own; `ways`: as `ways_of`."""
    since = record.in_progress_at or record.created_at
    samples = history.samples(connection, since - LOOK_BACK_SECONDS, until)
    longest = sorted(waits(connection, record, batch_window, ways, until), key=lambda wait: wait.since - wait.until)[
        :MAX_WAITS
    ]
    return Conditions(
        waits=tuple(sorted(longest, key=lambda wait: wait.since)),
        ways=tuple(map(str, ways)),
        workers=tuple(_workers(samples, history.recycles(connection, since, until), since, until)),
        sampled_since=samples[0].at if samples else None,
    )


def ways_of(record: BatchRecord, settings: Settings) -> list[Way]:
    """Those that its lines can go."""
    return [Way(record.way)] if record.way else [step.way for step in settings.ways]


def waits(connection: Redis, record: BatchRecord, batch_window: str, ways: Sequence[Way], until: float) -> list[Wait]:
    """All since its start."""
    since = record.in_progress_at or record.created_at
    return [
        *_closings(connection, record, ways, since, until),
        *_closed_hours(record.window or batch_window, since, until),
    ]


def covered(waits: Iterable[Wait], ways: Sequence[str] = ()) -> float:
    """Seconds in which no line was started: those of a wait for all ways, or of one for each of these."""
    total, began = 0.0, 0.0
    running: Counter[str] = Counter()
    is_held = False
    changes = [(at, by, one.way) for one in waits for at, by in ((one.since, 1), (one.until, -1))]
    for at, by, way in sorted(changes):
        # With one way or none each wait is one for all.
        running[way if len(ways) > 1 else ""] += by
        now_held = running[""] > 0 or (len(ways) > 1 and all(running[one] > 0 for one in ways))
        if now_held and not is_held:
            began = at
        elif is_held and not now_held:
            total += at - began
        is_held = now_held
    return total


def encode(found: Conditions) -> bytes:
    """As they are written down."""
    return json.dumps(asdict(found), ensure_ascii=False, separators=(",", ":")).encode()


def frozen(storage: Readable, batch_id: str) -> Conditions | None:
    """What was written down; None for a batch that has not ended, or whose files are elsewhere."""
    try:
        with storage.open(names.conditions(batch_id)) as file:
            return TypeAdapter(Conditions).validate_json(file.read())
    except FileNotFoundError:
        return None


def _closings(
    connection: Redis, record: BatchRecord, ways: Sequence[str], since: float, until: float
) -> Iterator[Wait]:
    # A name that only NIGHTSHIFT_MODEL_MAP knows has none here: then all are shown.
    family = family_of(DEFAULT_NAMES.get(record.model, record.model))
    for wait in history.waits(connection, since, until):
        first, last = max(wait.since, since), min(wait.until, until)
        # What another family waited for kept no line of this batch, nor a way that none of them could go.
        holds = (not family or wait.family in ("", family)) and wait.way in ("", *ways)
        if last > first and holds:
            yield Wait(
                cause=wait.cause,
                reason=wait.reason,
                limit=wait.limit,
                since=first,
                until=last,
                lasts=wait.until > until,
                way=wait.way,
            )


def _closed_hours(text: str, since: float, until: float) -> Iterator[Wait]:
    if not text:
        return
    hours = window.parse(text)
    at = since
    while at < until:
        change = hours.next_change(at)
        if not hours.is_open(at):
            yield Wait(
                cause=Hold.BATCH_WINDOW, reason=text, limit="", since=at, until=min(change, until), lasts=change > until
            )
        at = change


def _workers(
    samples: Iterable[Sample], events: Iterable[RecycleEvent], since: float, until: float
) -> Iterator[WorkerNight]:
    width = max(1.0, (until - since) / MAX_POINTS)
    peaks: dict[str, dict[int, tuple[float, float]]] = {}
    highest: dict[str, tuple[float, float]] = {}
    for sample in samples:
        for name, worker in sample.workers.items():
            claude, python = highest.get(name, (0.0, 0.0))
            highest[name] = max(claude, worker.rss_mb), max(python, worker.python_rss_mb)
            points = peaks.setdefault(name, {})
            place = int((sample.at - since) / width)
            _, known = points.get(place, (0.0, -1.0))
            if worker.rss_mb > known:
                points[place] = (round(sample.at, 1), worker.rss_mb)
    recycles: dict[str, Counter[str]] = {}
    for event in events:
        recycles.setdefault(event.worker, Counter())[event.reason] += 1
    for name in sorted({*highest, *recycles}):
        claude, python = highest.get(name, (0.0, 0.0))
        yield WorkerNight(
            name=name,
            peak_mb=round(claude, 1),
            python_peak_mb=round(python, 1),
            memory=tuple(point for _, point in sorted(peaks.get(name, {}).items())),
            recycles=dict(recycles.get(name, {})),
        )
