"""How a batch's night went, in numbers: from what is known of each line, and what went on around them.

Pure: lines go in one after the other and are not kept, so that the memory needed depends on the number of workers and causes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from app.batches.output import LineEnd
from app.batches.record import BatchStatus, LineCounts
from app.batches.report import conditions
from app.batches.report.quantiles import Quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.batches.record import BatchRecord
    from app.batches.report.conditions import Conditions, Wait
    from app.batches.report.examples import Example
    from app.batches.report.forecast import Forecast
    from app.batches.report.line_stats import LineStats

#: bars of the throughput curve at most, and how long one may last, seconds
MAX_BARS = 120
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
#: causes and workers that are counted separately; all others count as one more
MAX_CAUSES = 50
MAX_WORKERS = 64
OTHERS = "others"
#: the report mentions a gap when samples begin this much later than the batch, seconds
_GAP_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Durations of the lines that ran, seconds; None: none did."""

    p50: float | None = None
    p95: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Lines that ended, in steps of equal length from `since` on (seconds since the epoch)."""

    since: float
    step_seconds: int
    completed: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def until(self) -> float:
        """The last step's end."""
        return self.since + self.step_seconds * len(self.completed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Lines without an answer that have the same error."""

    code: str
    count: int
    #: whether they ran, and failed; else the batch's end came first
    ran: bool
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker's part. Memory is resident, in MiB; None: there is no sample of it."""

    name: str
    requests: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    peak_mb: float | None = None
    python_peak_mb: float | None = None
    memory: tuple[tuple[float, float], ...] = ()
    recycles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(LineCounts):
    """The whole of it. Times are seconds since the epoch, durations seconds; a time that has not come is None."""

    batch_id: str
    status: str
    endpoint: str
    model: str
    metadata: Mapping[str, str]
    #: the name under which its input was uploaded
    input_name: str
    #: whether answers of it are simulated ones
    offline: bool
    made_at: float
    created_at: float
    started_at: float | None
    ended_at: float | None
    expires_at: float
    total: int
    completed: int
    failed: int
    unrun: int
    #: not ended yet
    left: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    #: of the input, what was written to the prompt cache; `cached_tokens` were read from it
    cache_write_tokens: int
    #: what the prompt cache is known to have saved of the cost, below 0 for what it added
    cache_saved_usd: float
    #: of the answers whose cost is known; None: of none
    cost_usd: float | None
    #: answers whose cost nobody knows
    unpriced: int
    #: the earlier batch from which answers were copied, how many of `completed` these are, and what they had cost; None: nobody knows it
    since: str
    copied: int
    saved_usd: float | None
    #: from the start to the end, or until this was made
    seconds: float
    #: of it, in which no line could start
    waited_seconds: float
    #: lines that ended in an hour in which they could
    per_hour: float | None
    #: lines that were run more than once
    retried: int
    #: lines that came each way to Claude
    ways: Mapping[str, int]
    queue: Latency
    run: Latency
    curve: Curve
    waits: Sequence[Wait]
    causes: Sequence[Cause]
    workers: Sequence[WorkerRow]
    #: what the rest comes to by the lines that were tried; None: none were
    forecast: Forecast | None = None
    #: faults that validation found; then nothing ran
    faults: int
    #: what is not known, in sentences for people
    missing: Sequence[str]

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return BatchStatus(self.status).is_final


def add_up(
    record: BatchRecord,
    lines: Iterable[LineStats],
    around: Conditions,
    failures: Mapping[str, Sequence[Example]],
    now: float,
) -> Report:
    """The report. `failures`: examples of errors, by cause."""
    since = record.in_progress_at or record.created_at
    until = max(since, record.ended_at or now)
    tally = _Tally(since, until)
    for line in lines:
        tally.add(line)
    waited = conditions.covered(around.waits, around.ways)
    worked = until - since - waited
    # What it has in common with the record.
    known: dict[str, Any] = {one.name: getattr(record, one.name) for one in fields(Report) if hasattr(record, one.name)}
    known |= {
        "batch_id": record.id,
        "status": str(record.status),
        "made_at": now,
        "started_at": record.in_progress_at,
        "left": 0 if record.status is BatchStatus.FAILED else record.total - record.ended,
        "cost_usd": record.known_cost_usd(),
        "cache_saved_usd": round(record.cache_saved_usd, 6),
        "saved_usd": record.known_savings_usd(),
        "seconds": round(until - since, 3),
        "waited_seconds": round(waited, 3),
        "per_hour": round(record.ran / worked * 3600, 1) if tally.ran and worked > 0 else None,
        "retried": tally.retried,
        "ways": dict(sorted(tally.ways.items())),
        "queue": tally.latency(tally.queued),
        "run": tally.latency(tally.running),
        "curve": tally.curve(),
        "waits": around.waits,
        "causes": tally.causes(failures),
        "workers": tally.workers(around),
        "missing": _missing(record, around, tally, since),
    }
    return Report(**known)


class _Tally:
    """Adds up lines."""

    def __init__(self, since: float, until: float) -> None:
        self._step = next((one for one in _STEPS if (until - since) / one <= MAX_BARS - 2), _STEPS[-1])
        self._since = math.floor(since / self._step) * self._step
        bars = max(1, math.ceil((until - self._since) / self._step))
        self._completed, self._failed = [0] * bars, [0] * bars
        self._causes: dict[tuple[bool, str], int] = {}
        self._workers: dict[str, tuple[int, int, float]] = {}
        self.ways: dict[str, int] = {}
        self.queued, self.running = Quantiles(), Quantiles()
        self.count = self.ran = self.retried = 0

    def add(self, line: LineStats) -> None:
        """One more line."""
        self.count += 1
        place = min(max(0, int((line.ended_at - self._since) / self._step)), len(self._completed) - 1)
        if line.kind is LineEnd.COMPLETED:
            self._completed[place] += 1
        else:
            key = line.kind is LineEnd.FAILED, line.cause
            if key not in self._causes and len(self._causes) >= MAX_CAUSES:
                key = key[0], OTHERS
            self._causes[key] = self._causes.get(key, 0) + 1
            self._failed[place] += line.kind is LineEnd.FAILED
        if line.kind is LineEnd.UNRUN or line.run_seconds is None or line.queued_seconds is None:
            return
        self.ran += 1
        if line.way:
            self.ways[line.way] = self.ways.get(line.way, 0) + 1
        self.retried += line.attempts > 1
        self.queued.add(line.queued_seconds)
        self.running.add(line.run_seconds)
        if not line.worker:
            return  # Several shared it: a choice each.
        name = line.worker if line.worker in self._workers or len(self._workers) < MAX_WORKERS else OTHERS
        requests, failed, busy = self._workers.get(name, (0, 0, 0.0))
        self._workers[name] = requests + 1, failed + (line.kind is LineEnd.FAILED), busy + line.run_seconds

    def curve(self) -> Curve:
        """When they ended; those that were never run are no part of it."""
        return Curve(
            since=self._since,
            step_seconds=self._step,
            completed=tuple(self._completed),
            failed=tuple(self._failed),
        )

    @staticmethod
    def latency(found: Quantiles) -> Latency:
        """Rounded to milliseconds."""
        if not found.count:
            return Latency()
        return Latency(p50=round(found.at(0.5), 3), p95=round(found.at(0.95), 3), highest=round(found.highest, 3))

    def causes(self, failures: Mapping[str, Sequence[Example]]) -> list[Cause]:
        """The most frequent first; those that ran before those that did not."""
        found = [
            Cause(code=code, count=count, ran=ran, examples=tuple(failures.get(code, ())))
            for (ran, code), count in self._causes.items()
        ]
        return sorted(found, key=lambda cause: (not cause.ran, -cause.count, cause.code))

    def workers(self, around: Conditions) -> list[WorkerRow]:
        """All that ran a line or were there, by name."""
        nights = {night.name: night for night in around.workers}
        rows = []
        for name in sorted({*self._workers, *sorted(nights)[:MAX_WORKERS]}):
            requests, failed, busy = self._workers.get(name, (0, 0, 0.0))
            night = nights.get(name)
            rows.append(
                WorkerRow(
                    name=name,
                    requests=requests,
                    failed=failed,
                    busy_seconds=round(busy, 3),
                    peak_mb=night.peak_mb if night and night.memory else None,
                    python_peak_mb=night.python_peak_mb if night and night.memory else None,
                    memory=night.memory if night else (),
                    recycles=night.recycles if night else {},
                )
            )
        return rows


def _missing(record: BatchRecord, around: Conditions, tally: _Tally, since: float) -> list[str]:
    found = []
    if tally.count < (known := record.ended - record.copied):
        found.append(
            f"Curve, causes, latency and workers are those of {tally.count:,} of {known:,} requests: of the others nothing was"
            " written down."
        )
    if record.status is BatchStatus.FAILED or not record.ended:
        return found
    if around.sampled_since is None:
        found.append("There is no sample from that time: the workers' memory, and perhaps some waits, are not known.")
    elif around.sampled_since > since + _GAP_SECONDS:
        late = (around.sampled_since - since) / 60
        found.append(f"The workers' memory is known only from {late:,.0f} minutes after the start.")
    return found
