"""The one writer of what `lifecycle` decides about batches: record, sets of lines, jobs, files and event, in one MULTI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from app import clock
from app.batches import files, lifecycle
from app.batches.files import BATCH_OUTPUT, FileRecord
from app.batches.leadership import NotLeader, is_at
from app.batches.lifecycle import Found
from app.batches.record import (
    ACTIVE,
    BATCH_RETENTION,
    KEEP_SECONDS,
    BatchRecord,
    BatchStatus,
    again_key,
    batch_key,
    line_id,
    lines_key,
    runs_key,
)
from app.connection import transaction
from app.jobs import removal, transitions
from app.jobs.record import JobRecord, record_key
from app.webhooks import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from app.batches.leadership import Leadership
    from app.batches.lifecycle import Change, LineJob

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Steps:
    """What the process that does the batches' work does to them. `NotLeader` when another one does the work."""

    def __init__(self, connection: Redis, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    def do(
        self, batch_id: str, decide: Callable[Concatenate[Found, _P], Change], *given: _P.args, **named: _P.kwargs
    ) -> BatchRecord:
        """What a function of `lifecycle` decides. The batch afterwards."""

        def step(pipe: Any, record: BatchRecord) -> BatchRecord:
            return write(self._connection, pipe, decide(Found(record, clock.now()), *given, **named))

        return self._step(batch_id, step)

    def feed(
        self, batch_id: str, lines: Sequence[LineJob], *, fed: int, again: bool, refused: Sequence[int] = ()
    ) -> bool:
        """Lines into the queue. Whether it was done: not when the batch has ended, or they were given to it before."""
        was_tried = False

        def step(pipe: Any, record: BatchRecord) -> bool:
            nonlocal was_tried
            pipe.watch(again_key(batch_id))
            waiting = {int(number) for number in pipe.smembers(again_key(batch_id))}
            change = lifecycle.feed(Found(record, clock.now()), waiting, lines, fed=fed, again=again, refused=refused)
            if change is None:
                pipe.multi()
                # By whom? Nobody else feeds while this process leads.
                return was_tried and record.status is BatchStatus.IN_PROGRESS
            was_tried = True
            write(self._connection, pipe, change)
            return True

        return self._step(batch_id, step)

    def withdraw(self, batch_id: str, numbers: Sequence[int]) -> BatchRecord:
        """Lines that have no job any more, or one that waits and must not start now, are to be fed again."""

        def step(pipe: Any, record: BatchRecord) -> BatchRecord:
            keys = {number: record_key(line_id(batch_id, number)) for number in numbers}
            pipe.watch(*keys.values())
            jobs = {number: JobRecord.from_hash(pipe.hgetall(key)) for number, key in keys.items()}
            return write(self._connection, pipe, lifecycle.withdraw(Found(record, clock.now()), jobs))

        return self._step(batch_id, step)

    def lose(self, record: BatchRecord, kept: Sequence[str]) -> BatchRecord:
        """Its files are gone, but those that are `kept`. The jobs of its lines have been cancelled."""

        def step(pipe: Any, record: BatchRecord) -> BatchRecord:
            numbers = [int(number) for number in pipe.smembers(lines_key(record.id))]
            return write(self._connection, pipe, lifecycle.lose(Found(record, clock.now()), numbers, kept))

        here = self._leadership.place
        return self._step(record.id, step, here if is_at(self._connection, record.place, here) else record.place)

    def _step(self, batch_id: str, work: Callable[[Any, BatchRecord], _T], where: str = "") -> _T:
        """Run `work(pipe, record)`, which calls `pipe.multi()` and writes. `where`: the storage that has the files, this one by default."""

        def watched(pipe: Any) -> _T:
            is_ours = self._leadership.watch(pipe, where or self._leadership.place)
            record = BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))
            if not is_ours or record is None:
                raise NotLeader(f"{batch_id} is no longer this process's")
            return work(pipe, record)

        return transaction(self._connection, batch_key(batch_id), watched)


def write(connection: Redis, pipe: Any, change: Change) -> BatchRecord:
    """Begin the MULTI on a pipeline that watches what the change was decided by, and write it. The batch afterwards."""
    before, after = change.before, change.after
    batch_id = after.id
    announcement = None
    if change.ends:
        announcement = announce.prepare(
            pipe, f"batch.{after.status}", batch_id, after.callback_url, owner=after.owner
        )
    pipe.multi()
    was, now = before.to_hash(), after.to_hash()
    if changed := {name: text for name, text in now.items() if was.get(name) != text}:
        pipe.hset(batch_key(batch_id), mapping=changed)
    for line in change.submitted:
        ttl = max(3600, int(after.expires_at - clock.now()) + 3600)
        transitions.submit(connection, pipe, line.record, line.payload, ttl_seconds=ttl)
    queued, again = lines_key(batch_id), again_key(batch_id)
    for numbers, entered, left in ((change.queued, queued, again), (change.again, again, queued)):
        if numbers:
            pipe.sadd(entered, *numbers)
            pipe.srem(left, *numbers)
    if change.collected:
        pipe.srem(queued, *change.collected)
        pipe.srem(again, *change.collected)
    if change.runs:
        pipe.hset(runs_key(batch_id), mapping={number: json.dumps(counts) for number, counts in change.runs.items()})
    for number in change.forgotten:
        removal.forget(connection, pipe, line_id(batch_id, number))
    if announcement is not None:
        for file_id in change.files:
            _make_known(pipe, after, file_id)
        pipe.zrem(ACTIVE, batch_id)
        pipe.zadd(BATCH_RETENTION, {batch_id: clock.now() + KEEP_SECONDS})
        pipe.delete(queued, again, runs_key(batch_id))
        announcement.add(pipe)
    return after


def _make_known(pipe: Any, record: BatchRecord, file_id: str) -> None:
    """Put the output or error file of a batch among the files, unless it is empty."""
    name = "output" if file_id == record.output_file else "error"
    size = dict(record.files)[file_id]
    now, keep = clock.now(), record.output_keep_seconds
    if size:
        made = FileRecord(
            id=file_id,
            filename=f"{record.id}_{name}.jsonl",
            purpose=BATCH_OUTPUT,
            bytes=size,
            created_at=now,
            expires_at=None if keep is None else now + keep,
            place=record.place,
            owner=record.owner,
        )
        files.put(pipe, made)
