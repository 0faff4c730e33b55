"""Brings the outcomes of a batch's jobs into its files: appended first, then counted and forgotten, in one step.

Whoever dies in between leaves bytes that do not count, and outcomes that do: the next one appends them again, in the
place of the first (`Storage.append`).
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from app import errors, hashes
from app.batches import counting
from app.batches.change import LineRuns
from app.batches.formats.line import BodyError, LineError, parsed
from app.batches.leadership import LEASE_SECONDS
from app.batches.lines import LineReader
from app.batches.output import BATCH_CANCELLED, BATCH_EXPIRED, Ended, LineEnd, ended, never_run, unrun_error
from app.batches.record import BatchRecord, BatchStatus, again_key, line_id, lines_key, runs_key
from app.batches.report import line_stats
from app.batches.storage import names
from app.ids import new_request_id
from app.jobs.record import JobRecord, Status, Tier, outcome_key, record_key
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.batches.steps import Steps
    from app.batches.storage import Storage
    from app.error_codes import ErrorCode
    from app.jobs.store import Jobs

log = logging.getLogger(__name__)

#: lines that are named at once when a batch ends before they ran
_CHUNK = 2000
#: batches whose last writing is remembered
_REMEMBERED = 1000


@dataclass(frozen=True)
class Look:
    """A batch's lines in flight: those whose jobs wait for their turn or run, and those that wait out a delay."""

    record: BatchRecord
    near: tuple[int, ...] = ()
    delayed: tuple[int, ...] = ()
    #: those whose jobs are parked
    parked: tuple[int, ...] = ()
    #: whether what holds these holds all other lines, too: a batch has one model, but those of `flex` wait for fewer ways than others
    is_held: bool = False
    #: of all three, those that do not run
    waiting: tuple[int, ...] = ()
    #: whether anything was collected
    moved: bool = False
    #: lines that parts have (`app.batches.parts`)
    in_parts: int = 0
    #: of a batch whose lines go in parts, those that are to be asked for by the next way; None: its lines become jobs
    retries: tuple[int, ...] | None = None
    #: whether its next lines go in parts
    goes_in_parts: bool = False
    #: how many further lines the budgets of its key and of the house are good for (`app.batches.accounts`)
    room: float = math.inf

    @property
    def in_queue(self) -> tuple[int, ...]:
        """The lines that have jobs which have not ended."""
        return (*self.near, *self.delayed, *self.parked)

    @property
    def is_in_queue(self) -> bool:
        """Whether the batch has lines in the queue, or any to put there."""
        return self.retries is None or bool(self.retries or self.in_queue)


def refused(record: BatchRecord, number: int, raw: bytes, error: LineError) -> tuple[int, Ended]:
    """A line that can't become a job: its error is its outcome."""
    reply = errors.invalid_request(str(error), error.param, error.code)
    outcome = Outcome(error=error.reply if isinstance(error, BodyError) else reply)
    return number, ended(line_id(record.id, number), parsed(raw).custom_id, new_request_id(), outcome)


def runs_of(connection: Redis, batch_id: str, numbers: Sequence[int]) -> dict[int, LineRuns]:
    """What of these lines those have come to that were run, and are not done."""
    if not numbers:
        return {}
    found = cast("list[bytes | None]", connection.hmget(runs_key(batch_id), list(map(str, numbers))))
    return {
        number: LineRuns(*json.loads(text)) for number, text in zip(numbers, found, strict=True) if text is not None
    }


class Collector:
    """Used by the process that does the batches' work."""

    def __init__(self, connection: Redis, steps: Steps, storage: Storage, jobs: Jobs, *, offline: bool = False) -> None:
        self._connection = connection
        self._steps = steps
        self._jobs = jobs
        self.storage = storage
        self._offline = offline
        #: by batch: when its files were written last, monotonic; and the jobs that have ended since, while they are gathered
        self._written: dict[str, float] = {}
        self._ended: dict[str, tuple[float, dict[int, JobRecord]]] = {}

    def collect(self, record: BatchRecord) -> Look:
        """Take in what has ended, and see what has not."""
        numbers = sorted(int(number) for number in cast("set[bytes]", self._connection.smembers(lines_key(record.id))))
        jobs = self._jobs_of(record, numbers)
        if self._gathers(record, jobs):
            return self._look(record, jobs, moved=True)
        outcomes = self._outcomes({n: job for n, job in jobs.items() if job is not None and job.status.is_final})
        lost = [n for n, job in jobs.items() if job is None or (job.status.is_final and n not in outcomes)]
        if lost:
            log.warning(
                "[BATCH] batch=%s lines=%d reason=their jobs are gone; they are run again", record.id, len(lost)
            )
            record = self._steps.withdraw(record.id, lost)
        record = self._write(record, [(n, _ended(jobs[n], outcomes[n])) for n in outcomes], fed=record.fed, jobs=jobs)
        return self._look(record, jobs, moved=bool(outcomes or lost))

    def _jobs_of(self, record: BatchRecord, numbers: Sequence[int]) -> dict[int, JobRecord | None]:
        """Those that are known to have ended are not read again, for so short that no other process can have fed them again."""
        seen, ended = self._ended.get(record.id, (0.0, {}))
        if time.monotonic() - seen > LEASE_SECONDS / 2:
            ended = {}
        unknown = [number for number in numbers if number not in ended]
        keys = (record_key(line_id(record.id, number)) for number in unknown)
        read = dict(zip(unknown, hashes.read_all(self._connection, JobRecord, keys), strict=True))
        return {number: ended.get(number) or read[number] for number in numbers}

    def _gathers(self, record: BatchRecord, jobs: Mapping[int, JobRecord | None]) -> bool:
        """Whether what has ended is left where it is for a moment. Not what is to be told apart from what is in flight, for a budget."""
        ended = {n: job for n, job in jobs.items() if job is not None and job.status.is_final}
        self._ended.pop(record.id, None)
        seconds = self.storage.gather_seconds
        is_early = time.monotonic() - self._written.get(record.id, 0.0) < seconds
        # The last ones: nothing is to come that they could wait for.
        is_last = len(ended) == len(jobs) and record.fed >= record.limit
        if not ended or not is_early or is_last or record.has_budget:
            return False
        self._ended[record.id] = time.monotonic(), ended
        return True

    def _look(self, record: BatchRecord, jobs: Mapping[int, JobRecord | None], *, moved: bool) -> Look:
        going = {n: job for n, job in jobs.items() if job is not None and not job.status.is_final}
        waiting = tuple(n for n, job in going.items() if job.public_status is Status.QUEUED)
        parked = tuple(n for n in waiting if going[n].parked)
        delayed = tuple(n for n in waiting if going[n].waiting_for and n not in parked)
        near = tuple(sorted(going.keys() - {*delayed, *parked}))
        is_held = any(going[n].service_tier != Tier.FLEX for n in parked)
        return Look(record, near, delayed, parked, is_held, waiting, moved=moved)

    def _outcomes(self, jobs: dict[int, JobRecord]) -> dict[int, Outcome]:
        if not jobs:
            return {}
        texts = cast("list[bytes | None]", self._connection.mget([outcome_key(job.id) for job in jobs.values()]))
        return {n: Outcome.from_json(text) for n, text in zip(jobs, texts, strict=True) if text is not None}

    def end_jobs(self, record: BatchRecord, look: Look) -> None:
        """The batch is over: what waits never starts, what runs is interrupted."""
        for number in look.in_queue:
            self._jobs.cancel(line_id(record.id, number), unrun_error(_why(record)))

    def name_unrun(self, record: BatchRecord) -> BatchRecord:
        """Some of the lines that never ran into the error file; call it until none is left."""
        fed = record.fed
        numbers = self.again(record)[:_CHUNK]
        if not numbers:
            numbers = list(range(fed, min(record.total, fed + _CHUNK)))
            fed += len(numbers)
        why = _why(record)
        lines = [
            (number, never_run(line_id(record.id, number), parsed(raw).custom_id, why))
            for number, raw in self.reader(record).read(numbers)
        ]
        return self._write(record, lines, fed=fed)

    def refuse(self, record: BatchRecord, lines: Sequence[tuple[int, Ended]]) -> BatchRecord:
        """Lines that are `refused`, into the error file."""
        return self._write(record, lines, fed=record.fed)

    def again(self, record: BatchRecord) -> list[int]:
        """The lines that left the queue without an outcome."""
        return sorted(int(number) for number in cast("set[bytes]", self._connection.smembers(again_key(record.id))))

    def runs(self, record: BatchRecord, numbers: Sequence[int]) -> dict[int, LineRuns]:
        """What lines that are to be fed again have come to."""
        return runs_of(self._connection, record.id, numbers)

    def reader(self, record: BatchRecord) -> LineReader:
        """For the batch's input."""
        return LineReader(self.storage, record.id)

    def _write(
        self,
        record: BatchRecord,
        lines: Sequence[tuple[int, Ended]],
        *,
        fed: int,
        jobs: Mapping[int, JobRecord | None] = MappingProxyType({}),
    ) -> BatchRecord:
        if not lines:
            return record
        written = {**self.append(record, lines, jobs), "fed": fed}
        if len(self._written) > _REMEMBERED:
            self._written.clear()
        self._written[record.id] = time.monotonic()
        return self._steps.do(record.id, counting.collected, record, lines, written, offline=self._offline)

    def append(
        self, record: BatchRecord, lines: Sequence[tuple[int, Ended]], jobs: Mapping[int, JobRecord | None]
    ) -> dict[str, float]:
        """Lines into the files, which do not count before the record says so: the fields that are to say it."""
        good = [line.text for _, line in lines if line.kind is LineEnd.COMPLETED]
        bad = [line.text for _, line in lines if line.kind is not LineEnd.COMPLETED]
        stats = [line_stats.of(number, line, jobs.get(number)) for number, line in lines]
        # What Message Batches did took no worker's time.
        ran = [one.run_seconds for one in stats if one.run_seconds is not None and one.worker]
        found = {"timed": record.timed + len(ran), "run_seconds": round(record.run_seconds + sum(ran), 3)}
        appends = {
            "output_bytes": (names.stored_file(record.output_file), record.output_bytes, b"".join(good)),
            "error_bytes": (names.stored_file(record.error_file), record.error_bytes, b"".join(bad)),
            "facts_bytes": (names.line_stats(record.id), record.facts_bytes, b"".join(map(line_stats.encode, stats))),
        }
        appends = {field: one for field, one in appends.items() if one[2]}
        return found | dict(zip(appends, self.storage.append_all(list(appends.values())), strict=True))


def _why(record: BatchRecord) -> ErrorCode:
    return BATCH_CANCELLED if record.status is BatchStatus.CANCELLING else BATCH_EXPIRED


def _ended(job: JobRecord | None, outcome: Outcome) -> Ended:
    if job is None:
        raise ValueError("an outcome without a job")
    return ended(job.id, job.metadata["custom_id"], job.request_id, outcome)
