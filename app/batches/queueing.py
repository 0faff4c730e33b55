"""From a batch's file to the queue, and what a line's job is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import clock, spans
from app.batches import collector, lifecycle
from app.batches.change import NO_RUNS, LineJob, LineRuns, NotFed
from app.batches.endpoints import accept_line
from app.batches.formats.line import LineError, parse
from app.batches.head import cache_of
from app.batches.record import BatchRecord, line_id
from app.batches.shares import affordable
from app.ids import new_request_id
from app.jobs.record import WAYS_VERSION, CacheUse, JobKind, JobRecord, Status, Tier
from app.ladder import steps_for
from app.outcome import CACHE
from app.trace_context import NONE
from app.ways import Way
from app.window import is_open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.batches.collector import Collector, Look
    from app.batches.output import Ended
    from app.batches.steps import Steps
    from app.settings import Settings

#: how often a line is retried after server errors; retries after overloads and limits are not counted
MAX_ATTEMPTS = 100
#: how many refused lines are written to the error file at once
_REFUSED_AT_ONCE = 500


class Queueing:
    """Puts lines into the queue."""

    def __init__(self, steps: Steps, collector: Collector, settings: Settings) -> None:
        self._steps = steps
        self._collector = collector
        self._settings = settings

    def may_start(self, record: BatchRecord) -> bool:
        """Whether the batch's window is open, and nobody is asked first."""
        return not record.held and is_open(record.window or self._settings.batch_window, clock.now())

    def feed(self, look: Look, count: int) -> int:
        """Up to `count` more lines, and those among them that are refused or a part; how many it were. None outside the window."""
        record, most = look.record, affordable(look)
        if not self.may_start(record):
            return 0
        numbers: Sequence[int] = self._collector.again(record) if look.retries is None else look.retries
        again = bool(numbers)
        if not again:
            numbers = range(record.fed, record.limit)
        numbers = list(numbers[: count + _REFUSED_AT_ONCE])
        if not numbers:
            return 0
        runs = self._collector.runs(record, numbers) if again else {}
        lines: list[LineJob] = []
        refused: list[tuple[int, Ended]] = []
        in_part: list[int] = []
        for number, raw in self._collector.reader(record).read(numbers):
            try:
                job = job_of(record, number, raw, runs.get(number, NO_RUNS), self._settings)
                if {step.way for step in steps_for(self._settings.ways, job.record)} == {Way.BATCHES}:
                    in_part.append(number)
                else:
                    lines.append(_traced(record, job))
            except LineError as error:
                refused.append(collector.refused(record, number, raw, error))
            if len(lines) >= count or len(lines) + len(in_part) >= most or len(refused) >= _REFUSED_AT_ONCE:
                break
        noted = [number for number, _ in refused]
        try:
            self._steps.do(
                record.id, lifecycle.feed, lines, fed=record.fed, again=again, refused=noted, in_part=in_part
            )
        except NotFed:
            return 0
        if refused:
            # Those are noted as lines of which there is no outcome: whoever dies here leaves them to the next.
            fed = record.fed if again else record.fed + len(lines) + len(refused) + len(in_part)
            self._collector.refuse(replace(record, fed=fed), refused)
        return len(lines) + len(refused) + len(in_part)


def job_of(record: BatchRecord, number: int, raw: bytes, runs: LineRuns, settings: Settings) -> LineJob:
    """A line as a job that is not in the queue yet. `runs`: what it has come to before. Raises `LineError`."""
    line = parse(raw, record.endpoint)
    accepted = accept_line(line, record.endpoint, settings)
    tier = accepted.request.service_tier or ""
    way = record.way or (Way.BATCHES if tier == Tier.BATCH else "")
    own_attempts = accepted.request.max_attempts or 0
    job = JobRecord(
        id=line_id(record.id, number),
        kind=JobKind.BATCH_LINE,
        status=Status.QUEUED,
        model=accepted.claude_model,
        created_at=clock.now(),
        deadline_at=record.expires_at,
        max_attempts=own_attempts or max(MAX_ATTEMPTS, settings.max_attempts),
        max_sends=own_attempts,
        service_tier=tier,
        way=way,
        cache=CacheUse.OFF if CacheUse.OFF in _wanted_of_cache(record, accepted.request) else "",
        **runs._asdict(),
        request_id=new_request_id(),
        version=max(accepted.version, WAYS_VERSION) if way else accepted.version,
        owner=record.owner,
        metadata={"batch_id": record.id, "custom_id": line.custom_id},
    )
    if not way and all(step.way is Way.BATCHES for step in steps_for(settings.ways, job)):
        job = replace(job, way=Way.BATCHES)
    return LineJob(number, job, {**accepted.payload, "cache": cache_of(record, job.created_at)})


def _wanted_of_cache(record: BatchRecord, request: Any) -> tuple[str | None, str | None]:
    """What the batch's metadata says, and the line's own."""
    return record.metadata.get(CACHE), (request.metadata or {}).get(CACHE)


def _traced(record: BatchRecord, line: LineJob) -> LineJob:
    with spans.span("accept", NONE, spans.of_job(line.record, batch_id=record.id)) as span:
        context = span.context
    if context == line.record.trace:
        # Nobody records spans.
        return line
    return replace(line, record=replace(line.record, traceparent=context.parent, tracestate=context.state))
