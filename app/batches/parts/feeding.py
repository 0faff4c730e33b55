"""The feeder's side of parts: which batches go in them, lines into them, and their answers into the batch's files."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import IO, TYPE_CHECKING, cast

from app import clock
from app.batches import counting, lifecycle
from app.batches.change import NotFed, PartAnswers
from app.batches.head import PRIMED_LINES, is_kept
from app.batches.leadership import has_lane
from app.batches.output import Ended, ended
from app.batches.parts import entries
from app.batches.parts.record import Part, Parts, PartState, parts_key, parts_of
from app.batches.record import OF_ACCOUNTS, BatchRecord, BatchStatus, line_id
from app.batches.shares import affordable
from app.batches.storage import names
from app.gate import read_closings
from app.ids import new_request_id
from app.jobs.record import JobKind, JobRecord, Status
from app.openai import model_names
from app.scopes import family_of
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from app.batches.change import LineRuns
    from app.batches.collector import Collector, Look
    from app.batches.parts.entries import Entry
    from app.batches.queueing import Queueing
    from app.batches.steps import Steps
    from app.outcome import Outcome
    from app.settings import Settings

#: a part has as many lines as come to this in the batch's input, bytes; and no more than so many, which shows how far it is
PART_BYTES = 16 * 1024 * 1024
PART_LINES = 10_000
#: lines and bytes of answers that are collected in one step, and how long one look collects, seconds
_CHUNK_LINES = 500
_CHUNK_BYTES = 8 * 1024 * 1024
_COLLECT_SECONDS = 0.25
#: how long a batch that is over waits for what the API has done of its parts, seconds
WIND_UP_SECONDS = 600.0
#: requests of a message batch run at the same time, and none reads what another writes to the prompt cache. So a part of one line goes first
#: where lines begin alike; the others wait for it so long at most, seconds
PRIMING_SECONDS = 3600.0
#: without a lane for so long lines go the next way, seconds
LANE_SECONDS = 60.0


class PartFeeding:
    """Used by the process that does the batches' work."""

    def __init__(
        self, connection: Redis, steps: Steps, collector: Collector, queueing: Queueing, settings: Settings
    ) -> None:
        self._connection = connection
        self._steps = steps
        self._collector = collector
        self._queueing = queueing
        self._storage = collector.storage
        self._settings = settings
        #: when there was a lane, or may have been, by `time.monotonic()`
        self._lane_seen = time.monotonic()

    def advance(self, look: Look) -> Look:
        """Take in what the parts have, and see which way the batch's other lines go: `allot` sends them."""
        parts = self._read(look.record)
        record, moved = look.record, look.moved
        for part in parts.in_state(PartState.ANSWERED):
            record, moved = self._collect(record, part), True
        is_over = record.status is not BatchStatus.IN_PROGRESS or clock.now() >= record.expires_at
        goes_in_parts = not is_over and self._goes_in_parts(record)
        is_held = record.held in OF_ACCOUNTS
        given_up = [part for part in parts.unsent if is_over or is_held or not (goes_in_parts or part.is_bound)]
        if given_up:
            # Another way takes their lines, or nobody, or nobody yet.
            record, moved = self._withdraw(record, given_up), True
        if moved:
            parts = self._read(record)
        retries = None
        if goes_in_parts:
            record = self._without_jobs(look, record)
            retries = tuple(self._retries(record))
        return replace(
            look,
            record=record,
            in_parts=parts.lines,
            moved=moved,
            retries=retries,
            goes_in_parts=goes_in_parts,
        )

    def wind_up(self, record: BatchRecord) -> bool:
        """The batch is over: what was not sent is not, of the rest what is done counts. Whether there are parts left."""
        parts = self._read(record)
        if not parts.by_id:
            return False
        over_at = record.cancelling_at or record.expires_at
        if clock.now() >= over_at + WIND_UP_SECONDS:
            # What the API does of them is for nobody any more.
            late = [part.id for part in parts.by_id.values() if part.state is not PartState.ANSWERED]
            self._steps.do(record.id, lifecycle.withdraw_parts, late, unsent_only=False)
            return len(late) < len(parts.by_id)
        if parts.unsent:
            self._withdraw(record, parts.unsent)
        if any(not part.is_over for part in parts.by_id.values() if not part.state.is_unsent):
            self._steps.do(record.id, lifecycle.end_parts)
        return True

    def _read(self, record: BatchRecord) -> Parts:
        return parts_of(cast("dict[bytes, bytes]", self._connection.hgetall(parts_key(record.id))))

    def _goes_in_parts(self, record: BatchRecord) -> bool:
        if self._settings.step(Way.BATCHES) is None:
            return False
        if record.way:
            return record.way == Way.BATCHES
        return self._open_ways(record)[:1] == [Way.BATCHES] and self._expects_lane()

    def _expects_lane(self) -> bool:
        """Whether there is a lane, or will be again soon: it is restarted, and the next way costs twice as much."""
        if has_lane(self._connection, self._steps.place):
            self._lane_seen = time.monotonic()
        return time.monotonic() < self._lane_seen + LANE_SECONDS

    def _open_ways(self, record: BatchRecord) -> list[Way]:
        """In the ladder's order; while all is paused, those that are open besides."""
        closings = replace(read_closings(self._connection), pause=None)
        family = family_of(model_names.resolved_or_itself(record.model, self._settings))
        return [step.way for step in self._settings.ways if closings.holding(step.way, family) is None]

    def _without_jobs(self, look: Look, record: BatchRecord) -> BatchRecord:
        """Lines that wait as jobs for a way that was open before go in parts, too."""
        asked = self._collector.runs(record, look.waiting)
        waiting = [number for number in look.waiting if number not in asked]
        return self._steps.withdraw(record.id, waiting) if waiting else record

    def _retries(self, record: BatchRecord) -> Iterable[int]:
        """Lines that were answered, and not as they have to be: the next way in line takes them, if one is open."""
        again = [] if record.way else self._collector.again(record)
        if not again or self._open_ways(record)[1:] == []:
            return []
        return self._collector.runs(record, again).keys()

    def allot(self, look: Look) -> int:
        """The next part of a batch whose lines go in parts, once all before it are sent: how many lines it has."""
        record = look.record
        if not look.goes_in_parts:
            return 0
        parts = self._read(record)
        if parts.unsent or not self._queueing.may_start(record) or not has_lane(self._connection, self._steps.place):
            return 0
        if record.is_primed and _is_waited_for(parts):
            return 0
        again = [number for number in self._collector.again(record) if number not in (look.retries or ())]
        numbers = list(self._fitting(record, again or range(record.fed, record.limit), affordable(look)))
        if not numbers:
            return 0
        # Lines that were tried by another way have written nothing that message batches read.
        primes = not parts.made and record.total - record.ended >= PRIMED_LINES and is_kept(record)
        if primes:
            del numbers[1:]
        try:
            self._steps.do(record.id, lifecycle.allot, numbers, fed=record.fed, again=bool(again), primes=primes)
        except NotFed:
            return 0
        return len(numbers)

    def _fitting(self, record: BatchRecord, numbers: Iterable[int], most: float) -> Iterable[int]:
        total = 0
        for count, (number, length) in enumerate(self._collector.reader(record).lengths(numbers)):
            if count >= most:
                return
            if count and (count >= PART_LINES or total + length > PART_BYTES):
                return
            total += length
            yield number

    def _withdraw(self, record: BatchRecord, parts: Iterable[Part]) -> BatchRecord:
        ids = [part.id for part in parts]
        after = self._steps.do(record.id, lifecycle.withdraw_parts, ids)
        # One that the lane has begun to send meanwhile is not withdrawn.
        self._forget_files(record, set(ids) - self._read(record).by_id.keys())
        return after

    def _collect(self, record: BatchRecord, part: Part) -> BatchRecord:
        """Answers into the files, for a while."""
        until = time.monotonic() + _COLLECT_SECONDS
        model = model_names.resolved_or_itself(record.model, self._settings)
        with self._storage.open(names.part_answers(record.id, part.id)) as file:
            while part.collected_bytes < part.answers_bytes and time.monotonic() < until:
                file.seek(part.collected_bytes)
                taken, jobs = _taken(record, part, model, *_chunk(file))
                written = self._collector.append(record, taken.lines, jobs)
                record = self._steps.do(
                    record.id, counting.collect_part, record, part, taken, written, offline=self._settings.offline
                )
                collected = part.collected + len(taken.lines) + len(taken.again)
                part = replace(part, collected_bytes=taken.upto, collected=collected)
        if part.collected_bytes >= part.answers_bytes:
            self._forget_files(record, [part.id])
        return record

    def _forget_files(self, record: BatchRecord, ids: Iterable[str]) -> None:
        """Those that are left by a crash go with the batch's folder."""
        for part_id in ids:
            for name in names.OF_A_PART:
                self._storage.remove(name(record.id, part_id))


def _is_waited_for(parts: Parts) -> bool:
    """Whether the first part, which primes the cache, has not ended."""
    first = parts.by_id.get("0")
    if first is None or first.state in (PartState.ENDED, PartState.ANSWERED):
        return False
    return clock.now() < first.created_at + PRIMING_SECONDS


def _chunk(file: IO[bytes]) -> tuple[list[Entry], int]:
    """Some entries from where the file is, and where the next one begins."""
    begin = file.tell()
    chunk: list[Entry] = []
    for entry in entries.read(file):
        chunk.append(entry)
        if len(chunk) >= _CHUNK_LINES or file.tell() - begin >= _CHUNK_BYTES:
            break
    return chunk, file.tell()


def _taken(
    record: BatchRecord, part: Part, model: str, chunk: Sequence[Entry], upto: int
) -> tuple[PartAnswers, dict[int, JobRecord | None]]:
    """What one step collects, and the jobs that its lines would have been."""
    lines: list[tuple[int, Ended]] = []
    again: dict[int, LineRuns] = {}
    jobs: dict[int, JobRecord | None] = {}
    counted: list[tuple[JobRecord, Outcome]] = []
    for entry in chunk:
        if entry.outcome is None:
            again[entry.number] = entry.runs
            continue
        job = _as_job(record, part, entry, entry.outcome, model)
        jobs[entry.number] = job
        counted.append((job, entry.outcome))
        lines.append((entry.number, ended(job.id, entry.custom_id, job.request_id, entry.outcome)))
    return PartAnswers(upto, lines, again, counted, sum(entry.paid_usd for entry in chunk)), jobs


def _as_job(record: BatchRecord, part: Part, entry: Entry, outcome: Outcome, model: str) -> JobRecord:
    """For what is written down and counted of a line: the job that it was not. One that was refused here was never sent."""
    was_sent = bool(outcome.way)
    return JobRecord(
        id=line_id(record.id, entry.number),
        kind=JobKind.BATCH_LINE,
        status=Status.COMPLETED if outcome.error is None else Status.FAILED,
        model=model,
        created_at=part.created_at,
        deadline_at=record.expires_at,
        started_at=part.sent_at if was_sent else None,
        finished_at=part.ended_at,
        execution=part.api_id if was_sent else "",
        request_id=new_request_id(),
        owner=record.owner,
        **entry.runs._asdict(),
    )
