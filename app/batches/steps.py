"""The one writer of what `lifecycle` decides about batches: record, sets of lines, jobs, files and event, in one MULTI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from app import clock, merging, spending, tally
from app.batches import file_record, lifecycle
from app.batches.change import Found
from app.batches.file_record import FileRecord, Purpose
from app.batches.leadership import NotLeader, is_at
from app.batches.parts.record import fields_of, parts_key, parts_of
from app.batches.record import (
    ACTIVE,
    BATCH_RETENTION,
    KEEP_SECONDS,
    BatchRecord,
    again_key,
    batch_key,
    line_id,
    lines_key,
    runs_key,
)
from app.connection import transaction
from app.jobs import removal, transitions
from app.jobs.record import JobRecord, record_key
from app.scopes import parked_key
from app.ways import Way
from app.webhooks import announce
from app.webhooks.events import BATCH_HELD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from app.batches.change import Change
    from app.batches.leadership import Leadership

_P = ParamSpec("_P")


class Steps:
    """What the process that does the batches' work does to them. `NotLeader` when another one does the work."""

    def __init__(self, connection: Redis, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    @property
    def place(self) -> str:
        """The storage whose batches these are."""
        return self._leadership.place

    def do(
        self, batch_id: str, decide: Callable[Concatenate[Found, _P], Change], *given: _P.args, **named: _P.kwargs
    ) -> BatchRecord:
        """What a function of `lifecycle` decides. The batch afterwards."""
        return self._step(batch_id, lambda _, found: decide(found, *given, **named), self._leadership.place)

    def withdraw(self, batch_id: str, numbers: Sequence[int]) -> BatchRecord:
        """Lines that have no job any more, or one that waits and must not start now, are to be fed again."""

        def decide(pipe: Any, found: Found) -> Change:
            keys = {number: record_key(line_id(batch_id, number)) for number in numbers}
            pipe.watch(*keys.values())
            return lifecycle.withdraw(found, {n: JobRecord.from_hash(pipe.hgetall(key)) for n, key in keys.items()})

        return self._step(batch_id, decide, self._leadership.place)

    def lose(self, record: BatchRecord, kept: Sequence[str]) -> BatchRecord:
        """Its files are gone, but those that are `kept`, or where nobody works. The jobs of its lines have been cancelled."""
        here = self._leadership.place
        where = here if is_at(self._connection, record.place, here) else record.place
        return self._step(record.id, lambda _, found: lifecycle.lose(found, kept), where)

    def _step(self, batch_id: str, decide: Callable[[Any, Found], Change], where: str) -> BatchRecord:
        """`where`: the storage that has the batch's files."""

        def step(pipe: Any) -> BatchRecord:
            is_ours = self._leadership.watch(pipe, where)
            record = BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))
            if not is_ours or record is None:
                raise NotLeader(f"{batch_id} is no longer this process's")
            keys = lines_key(batch_id), again_key(batch_id)
            pipe.watch(*keys, parts_key(batch_id))
            queued, again = ({int(number) for number in pipe.smembers(key)} for key in keys)
            parts = parts_of(pipe.hgetall(parts_key(batch_id)))
            return write(self._connection, pipe, decide(pipe, Found(record, clock.now(), queued, again, parts)))

        return transaction(self._connection, batch_key(batch_id), step)


def write(connection: Redis, pipe: Any, change: Change) -> BatchRecord:
    """Begin the MULTI on a pipeline that watches what the change was decided by, and write it. The batch afterwards."""
    before, after = change.before, change.after
    batch_id = after.id
    announcement = held = None
    if change.ends:
        announcement = announce.prepare(pipe, f"batch.{after.status}", batch_id, after.callback_url, owner=after.owner)
    elif change.after.held and change.after.held != change.before.held:
        details = {"reason": after.held}
        held = announce.prepare(pipe, BATCH_HELD, batch_id, after.callback_url, details=details, owner=after.owner)
    pipe.multi()
    was, now = before.to_hash(), after.to_hash()
    if changed := {name: text for name, text in now.items() if was.get(name) != text}:
        pipe.hset(batch_key(batch_id), mapping=changed)
    ttl = max(3600, int(after.expires_at - clock.now()) + 3600)
    with merging.merged(pipe) as together:
        for line in change.submitted:
            payload = json.dumps(line.payload, ensure_ascii=False, separators=(",", ":"))
            transitions.submit(connection, together, line.record, payload, ttl_seconds=ttl)
    _move_lines(pipe, change)
    collected = {*change.collected}
    with merging.merged(pipe) as together:
        for number in change.forgotten:
            removal.forget(connection, together, line_id(batch_id, number), has_ended=number in collected)
    for number, lot in change.parked.items():
        pipe.zrem(parked_key(lot), line_id(batch_id, number))
    _move_parts(pipe, change)
    tally.count_all(pipe, change.counted)
    spending.add(pipe, Way.BATCHES, change.paid_usd, clock.now(), is_answer=False)
    spending.count_paid(pipe, after.owner, change.paid_usd, clock.now())
    if held is not None:
        held.add(pipe)
    if announcement is not None:
        for file_id in change.files:
            _make_known(pipe, after, file_id)
        pipe.zrem(ACTIVE, batch_id)
        pipe.zadd(BATCH_RETENTION, {batch_id: clock.now() + KEEP_SECONDS})
        pipe.delete(*(key(batch_id) for key in (lines_key, again_key, runs_key, parts_key)))
        announcement.add(pipe)
    return after


def _move_lines(pipe: Any, change: Change) -> None:
    batch_id = change.after.id
    queued, again = lines_key(batch_id), again_key(batch_id)
    for numbers, entered, left in ((change.queued, queued, again), (change.again, again, queued)):
        if numbers:
            pipe.sadd(entered, *numbers)
            pipe.srem(left, *numbers)
    if change.unlisted:
        pipe.srem(again, *change.unlisted)
    if change.collected:
        pipe.srem(queued, *change.collected)
        pipe.srem(again, *change.collected)
    if change.runs:
        pipe.hset(runs_key(batch_id), mapping={number: json.dumps(counts) for number, counts in change.runs.items()})


def _move_parts(pipe: Any, change: Change) -> None:
    key = parts_key(change.after.id)
    if gone := [part_id for part_id, part in change.parts.items() if part is None]:
        pipe.hdel(key, *gone)
    if change.parts:
        kept = [part for part in change.parts.values() if part is not None]
        pipe.hset(key, mapping=fields_of(kept, change.parts_made))


def _make_known(pipe: Any, record: BatchRecord, file_id: str) -> None:
    """Put the output or error file of a batch among the files, unless it is empty."""
    name = "output" if file_id == record.output_file else "error"
    size = dict(record.files)[file_id]
    now, keep = clock.now(), record.output_keep_seconds
    if size:
        made = FileRecord(
            id=file_id,
            filename=f"{record.id}_{name}.jsonl",
            purpose=Purpose.BATCH_OUTPUT,
            bytes=size,
            created_at=now,
            expires_at=None if keep is None else now + keep,
            place=record.place,
            owner=record.owner,
        )
        file_record.put(pipe, made)
