"""The last hours as the page draws them: throughput and queue in equal steps, the times without work, memory, failures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import history
from app.jobs.record import Status, outcome_key
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.history import Sample
    from app.jobs.store import Jobs

#: the longest time that is looked back, seconds
SPAN_SECONDS = 12 * 3600
#: (seconds a step, steps): the first that holds all there is
_SHAPES = ((10, 60), (60, 60), (300, 72), (600, 72))
#: rows of the table that says the same as the chart
_ROWS = 12
#: how far the curves of memory reach back, seconds, and their points
MEMORY_SECONDS = 3600
_POINTS = 60
#: failed jobs whose causes are looked at, for the latest of each
_LATEST = 100
#: more than there can be in that time
_MOST_SAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the last hours."""

    #: seconds since the epoch
    since: float
    completed: int
    failed: int
    #: the most that waited
    queued: int


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest of the failed jobs that are still known, of one cause."""

    job_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Past:
    """All of it."""

    step_seconds: int
    steps: Sequence[Step]
    #: the same in fewer pieces
    rows: Sequence[Step]
    #: (cause, since, until), within the time of the steps
    closings: Sequence[tuple[str, float, float]]
    #: MiB of each worker's Claude, by name, from the last hour
    memory: Mapping[str, Sequence[float]]
    latest: Mapping[str, Latest]

    @property
    def since(self) -> float:
        """When the first step begins, seconds since the epoch."""
        return self.steps[0].since

    @property
    def seconds(self) -> int:
        """How long all steps are together."""
        return self.step_seconds * len(self.steps)


class Hours:
    """Reads them, again and again: what was read before is kept, for thousands of samples take a while. One thread at a time."""

    def __init__(self, connection: Redis, jobs: Jobs) -> None:
        self._connection = connection
        self._jobs = jobs
        self._samples: list[Sample] = []

    def read(self, now: float) -> Past:
        """From the history as it is."""
        samples = self._samples = self._samples_until(now)
        age = now - samples[0].at if samples else 0.0
        step, count = next((shape for shape in _SHAPES if age <= shape[0] * (shape[1] - 1)), _SHAPES[-1])
        since = (math.floor(now / step) + 1 - count) * step
        steps = _steps(samples, since, step, count)
        size = count // _ROWS
        waits = history.waits(self._connection, since, now)
        return Past(
            step_seconds=step,
            steps=steps,
            rows=[_together(steps[first : first + size]) for first in range(0, count, size)],
            closings=[(wait.cause, max(wait.since, since), min(wait.until, now)) for wait in waits if not wait.family],
            memory=_memory(samples, now),
            latest=_latest(self._connection, self._jobs),
        )

    def _samples_until(self, now: float) -> list[Sample]:
        first = now - SPAN_SECONDS
        kept = [sample for sample in self._samples if sample.at >= first]
        # A sample's time has milliseconds.
        since = kept[-1].at + 0.001 if kept else first
        return kept + history.samples(self._connection, since, now, most=_MOST_SAMPLES)


def _steps(samples: Sequence[Sample], since: float, step: int, count: int) -> list[Step]:
    completed, failed, queued = [0] * count, [0] * count, [0] * count
    for sample in samples:
        place = int((sample.at - since) // step)
        if 0 <= place < count:
            completed[place] += sample.completed
            failed[place] += sample.failed
            queued[place] = max(queued[place], sample.queued)
    return [Step(since + place * step, completed[place], failed[place], queued[place]) for place in range(count)]


def _together(steps: Sequence[Step]) -> Step:
    return Step(
        steps[0].since,
        sum(step.completed for step in steps),
        sum(step.failed for step in steps),
        max(step.queued for step in steps),
    )


def _memory(samples: Sequence[Sample], now: float) -> dict[str, list[float]]:
    """Of neighbours that share a point the highest."""
    points: dict[str, dict[int, float]] = {}
    for sample in samples:
        place = int((sample.at - now + MEMORY_SECONDS) * _POINTS / MEMORY_SECONDS)
        if place >= 0:
            for name, worker in sample.workers.items():
                found = points.setdefault(name, {})
                found[place] = max(found.get(place, 0.0), worker.rss_mb or worker.python_rss_mb)
    return {name: [found[place] for place in sorted(found)] for name, found in points.items()}


def _latest(connection: Redis, jobs: Jobs) -> dict[str, Latest]:
    found: dict[str, Latest] = {}
    records = list(jobs.newest(Status.FAILED, limit=_LATEST))
    texts = connection.mget([outcome_key(record.id) for record in records]) if records else []
    for record, text in zip(records, texts, strict=True):
        error = Outcome.from_json(text).error if text else None
        if error is not None:
            known = found.get(cause := error.cause)
            at = record.finished_at or record.created_at
            if known is None or known.at < at:
                found[cause] = Latest(record.id, at)
    return found
