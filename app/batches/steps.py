"""Every change of a batch's state by the process that does the work; each is one step in Redis. Clients' are in `store`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from app import clock
from app.batches import files, place
from app.batches.files import BATCH_OUTPUT, FileRecord
from app.batches.record import (
    ACTIVE,
    BATCH_RETENTION,
    FILES_LOST,
    KEEP_SECONDS,
    BatchRecord,
    BatchStatus,
    again_key,
    batch_key,
    line_id,
    lines_key,
    runs_key,
)
from app.jobs import removal, transitions
from app.jobs.record import JobRecord, Status, record_key
from app.openai.usage import tokens
from app.webhooks import announce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from app.batches.leadership import Leadership
    from app.batches.output import Ended
    from app.webhooks.announce import Announcement


class LineRuns(NamedTuple):
    """What the jobs that a line has had so far add up to: its next one goes on from there. As in `JobRecord`."""

    attempts: int = 0
    deaths: int = 0
    sends: int = 0


@dataclass(frozen=True)
class LineJob:
    """A line, ready for the queue."""

    number: int
    record: JobRecord
    payload: str


class Steps:
    """The changes. Each returns the batch as it is afterwards; `NotLeader` when another process does the work."""

    def __init__(self, connection: Redis, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    def begin(self, batch_id: str, *, total: int, refused: int, model: str) -> BatchRecord:
        """Validating to in_progress. `refused`: lines that will fail, since their bodies are refused."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.multi()
            if record.status is not BatchStatus.VALIDATING:
                return record
            return _moved(
                pipe, record, BatchStatus.IN_PROGRESS, "in_progress_at", total=total, refused=refused, model=model
            )

        return self._leadership.change(batch_id, change)

    def count(self, batch_id: str, *, total: int, model: str) -> BatchRecord:
        """How many lines there are in a batch that was cancelled before that was known."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.multi()
            after = replace(record, total=total, model=model)
            pipe.hset(batch_key(batch_id), mapping={"total": str(total), "model": model})
            return after

        return self._leadership.change(batch_id, change)

    def refuse(self, batch_id: str, *, faults: int, total: int, model: str) -> BatchRecord:
        """Validating to failed: its file has faults."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            told = announce.prepare(pipe, "batch.failed", batch_id, record.callback_url, owner=record.owner)
            pipe.multi()
            if record.status is not BatchStatus.VALIDATING:
                return record
            return _ended(pipe, record, BatchStatus.FAILED, told, faults=faults, total=total, model=model)

        return self._leadership.change(batch_id, change)

    def feed(
        self, batch_id: str, lines: Sequence[LineJob], *, fed: int, again: bool, refused: Sequence[int] = ()
    ) -> bool:
        """Lines into the queue. Whether it was done: not when the batch has ended, or they were given to it before.

        `refused`: numbers among theirs that are to be put into the error file next.
        """
        numbers = [line.number for line in lines]
        was_tried = False

        def change(pipe: Any, record: BatchRecord) -> bool:
            nonlocal was_tried
            pipe.watch(again_key(batch_id))
            waiting = {int(number) for number in pipe.smembers(again_key(batch_id))}
            pipe.multi()
            if record.status is not BatchStatus.IN_PROGRESS:
                return False
            if record.fed != fed or (again and not waiting.issuperset(numbers)):
                # By whom? Nobody else feeds while this process leads.
                return was_tried
            was_tried = True
            for line in lines:
                ttl = max(3600, int(record.expires_at - clock.now()) + 3600)
                transitions.submit(self._connection, pipe, line.record, line.payload, ttl_seconds=ttl)
            if numbers:
                pipe.sadd(lines_key(batch_id), *numbers)
            if not again:
                pipe.hset(batch_key(batch_id), "fed", fed + len(numbers) + len(refused))
            elif numbers:
                pipe.srem(again_key(batch_id), *numbers)
            if refused:
                pipe.sadd(again_key(batch_id), *refused)
            return True

        return self._leadership.change(batch_id, change)

    def take_back(self, batch_id: str, numbers: Sequence[int]) -> BatchRecord:
        """Lines that have no job any more, or one that waits and must not start now, will be given to the queue again.

        One that waits for its choices has started.
        """
        keys = {number: record_key(line_id(batch_id, number)) for number in numbers}

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.watch(*keys.values())
            jobs = {number: JobRecord.from_hash(pipe.hgetall(key)) for number, key in keys.items()}
            found = [number for number, job in jobs.items() if job is None or job.shown is not Status.IN_PROGRESS]
            runs = {number: [getattr(jobs[number], name, 0) for name in LineRuns._fields] for number in found}
            pipe.multi()
            if found:
                pipe.srem(lines_key(batch_id), *found)
                pipe.sadd(again_key(batch_id), *found)
            if kept := {number: json.dumps(counts) for number, counts in runs.items() if any(counts)}:
                pipe.hset(runs_key(batch_id), mapping=kept)
            for number in found:
                removal.forget(self._connection, pipe, line_id(batch_id, number))
            return record

        return self._leadership.change(batch_id, change)

    def collected(
        self,
        before: BatchRecord,
        lines: Sequence[tuple[int, Ended]],
        *,
        output_bytes: int,
        error_bytes: int,
        facts_bytes: int,
        fed: int,
        offline: bool,
    ) -> BatchRecord:
        """These lines are in the files, which are so long now: count them, and forget their jobs."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.multi()
            if (record.output_bytes, record.error_bytes) != (before.output_bytes, before.error_bytes):
                return record
            grown = replace(
                record,
                output_bytes=output_bytes,
                error_bytes=error_bytes,
                facts_bytes=facts_bytes,
                fed=fed,
                offline=record.offline or offline,
            )
            after = _counted(grown, lines)
            pipe.hset(batch_key(record.id), mapping=after.to_hash())
            numbers = [number for number, _ in lines]
            pipe.srem(lines_key(record.id), *numbers)
            pipe.srem(again_key(record.id), *numbers)
            for number in numbers:
                if number < before.fed:
                    removal.forget(self._connection, pipe, line_id(record.id, number))
            return after

        return self._leadership.change(before.id, change)

    def finalize(self, batch_id: str) -> BatchRecord:
        """In_progress to finalizing: all lines are in the files."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.multi()
            if record.status is not BatchStatus.IN_PROGRESS:
                return record
            return _moved(pipe, record, BatchStatus.FINALIZING, "finalizing_at")

        return self._leadership.change(batch_id, change)

    def end(self, batch_id: str, status: BatchStatus) -> BatchRecord:
        """To completed, expired or cancelled: the files are known from now on, and the callback's event is in the outbox."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            told = announce.prepare(pipe, f"batch.{status}", batch_id, record.callback_url, owner=record.owner)
            pipe.multi()
            if record.status.is_final:
                return record
            _put_files(pipe, record, (record.output_file, record.error_file))
            return _ended(pipe, record, status, told)

        return self._leadership.change(batch_id, change)

    def lose(self, record: BatchRecord, kept: Sequence[str]) -> BatchRecord:
        """Whatever is not final to failed, for its files are gone; those that are `kept` can be read afterwards.

        The jobs of its lines have been cancelled.
        """

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            numbers = [int(number) for number in pipe.smembers(lines_key(record.id))]
            told = announce.prepare(pipe, "batch.failed", record.id, record.callback_url, owner=record.owner)
            pipe.multi()
            if record.status.is_final:
                return record
            _put_files(pipe, record, kept)
            for number in numbers:
                removal.forget(self._connection, pipe, line_id(record.id, number))
            unrun = record.total - record.completed - record.failed
            return _ended(pipe, record, BatchStatus.FAILED, told, failure=FILES_LOST, unrun=unrun)

        if place.is_at(self._connection, record.place, self._leadership.place):
            return self._leadership.change(record.id, change)
        return self._leadership.change_unled(record.id, record.place, change)

    def note_stuck(self, batch_id: str, reason: str) -> BatchRecord:
        """Why its files can't be used now; nothing: they can again."""

        def change(pipe: Any, record: BatchRecord) -> BatchRecord:
            pipe.multi()
            pipe.hset(batch_key(batch_id), "stuck", reason)
            return replace(record, stuck=reason)

        return self._leadership.change(batch_id, change)


def _moved(pipe: Any, record: BatchRecord, status: BatchStatus, at: str, **fields: Any) -> BatchRecord:
    fields[at] = clock.now()
    after = replace(record, status=status, stuck="", **fields)
    pipe.hset(batch_key(record.id), mapping=after.to_hash())
    return after


def _ended(pipe: Any, record: BatchRecord, status: BatchStatus, told: Announcement, **fields: Any) -> BatchRecord:
    after = _moved(pipe, record, status, f"{status}_at", **fields)
    pipe.zrem(ACTIVE, record.id)
    pipe.zadd(BATCH_RETENTION, {record.id: clock.now() + KEEP_SECONDS})
    pipe.delete(lines_key(record.id), again_key(record.id), runs_key(record.id))
    told.add(pipe)
    return after


def _put_files(pipe: Any, record: BatchRecord, kept: Sequence[str]) -> None:
    for (file_id, size), name in zip(record.files, ("output", "error"), strict=True):
        if size and file_id in kept:
            files.put(pipe, _file(record, file_id, size, name))


def _counted(record: BatchRecord, lines: Sequence[tuple[int, Ended]]) -> BatchRecord:
    found = [line for _, line in lines]

    def total(name: str, detail: str = "") -> int:
        return sum(tokens(line.usage, name, detail) for line in found)

    return replace(
        record,
        completed=record.completed + sum(line.kind == "completed" for line in found),
        failed=record.failed + sum(line.kind == "failed" for line in found),
        unrun=record.unrun + sum(line.kind == "unrun" for line in found),
        input_tokens=record.input_tokens + total("prompt_tokens"),
        output_tokens=record.output_tokens + total("completion_tokens"),
        cached_tokens=record.cached_tokens + total("prompt_tokens", "cached_tokens"),
        reasoning_tokens=record.reasoning_tokens + total("completion_tokens", "reasoning_tokens"),
        cost_usd=record.cost_usd + sum(line.cost_usd or 0.0 for line in found),
        unpriced=record.unpriced + sum(line.kind == "completed" and line.cost_usd is None for line in found),
    )


def _file(record: BatchRecord, file_id: str, size: int, name: str) -> FileRecord:
    now = clock.now()
    keep = record.output_keep_seconds
    return FileRecord(
        id=file_id,
        filename=f"{record.id}_{name}.jsonl",
        purpose=BATCH_OUTPUT,
        bytes=size,
        created_at=now,
        expires_at=None if keep is None else now + keep,
        place=record.place,
        owner=record.owner,
    )
