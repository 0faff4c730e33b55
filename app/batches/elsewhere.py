"""Batches whose files are in other storages: what of them is in the queue, and their end when nobody can work on them.

Several storages may have batches at once, each with a leader of its own. All leaders feed one queue, so each publishes what
it has there, and counts what the others have.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from app import clock
from app.batches.collector import Look
from app.batches.leadership import LEASE_SECONDS, STORAGES, NotLeader, known_storages, leaders
from app.batches.output import BATCH_CANCELLED, unrun_error
from app.batches.record import BatchRecord, BatchStatus, line_id, lines_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.batches.leadership import Leadership
    from app.batches.steps import Steps
    from app.jobs.store import Jobs

log = logging.getLogger(__name__)

#: how long a storage has no leader before its batches that are cancelled or expired are ended from here, seconds
UNLED_SECONDS = 30.0
#: how often such batches are looked at, and what is in the queue is published although it is the same, seconds
_LOOK_SECONDS = 1.0


class Elsewhere:
    """Used by the process that does the work in its own storage."""

    def __init__(self, connection: Redis, leadership: Leadership, steps: Steps, jobs: Jobs) -> None:
        self._connection = connection
        self._leadership = leadership
        self._steps = steps
        self._jobs = jobs
        #: since when a storage has had no leader, monotonic
        self._unled: dict[str, float] = {}
        self._next_look = 0.0
        self._published: tuple[str, float] = ("", 0.0)

    def publish(self, looks: Mapping[str, Look]) -> None:
        """Publish what of this storage's batches is in the queue."""
        text = json.dumps({batch_id: [len(look.near), len(look.delayed)] for batch_id, look in looks.items()})
        said, at = self._published
        if text != said or time.monotonic() - at > _LOOK_SECONDS:
            self._connection.set(_in_queue_key(self._leadership.place), text, px=int(LEASE_SECONDS * 1000))
            self._published = (text, time.monotonic())

    def looks(self, others: Sequence[BatchRecord]) -> dict[str, Look]:
        """What of the other storages' batches is there, as their leaders have published."""
        found: dict[str, Look] = {}
        for where in {record.place for record in others}:
            said: Any = self._connection.get(_in_queue_key(where))
            counts = {} if said is None else json.loads(said)
            for record in others:
                if record.place == where and record.id in counts:
                    near, delayed = counts[record.id]
                    found[record.id] = Look(record, tuple(range(near)), tuple(range(near, near + delayed)))
        return found

    def end_lost(self, others: Sequence[BatchRecord]) -> None:
        """End those of the others whose files are lost, and those that are over, and nobody is there to end."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        led = {leader.place for leader in leaders(self._connection)} if others else set()
        now = time.monotonic()
        unled = {record.place for record in others} - led
        self._unled = {where: self._unled.get(where, now) for where in unled}
        for record in others:
            if record.place in led:
                continue
            is_lost = record.place in self._leadership.lost
            is_over = record.status is BatchStatus.CANCELLING or clock.now() >= record.expires_at
            if is_lost or (is_over and now - self._unled[record.place] >= UNLED_SECONDS):
                # Where nobody works they may be as they were, and somebody may find them there.
                self.lose(record, [] if is_lost else [file_id for file_id, _ in record.files])

    def lose(self, record: BatchRecord, kept: Sequence[str]) -> None:
        """Its files are gone, but those `kept`, or are where nobody works: it fails, and what it has in the queue ends."""
        numbers: Any = self._connection.smembers(lines_key(record.id))
        for number in numbers:
            self._jobs.cancel(line_id(record.id, int(number)), unrun_error(BATCH_CANCELLED))
        try:
            after = self._steps.lose(record, kept)
        except NotLeader:
            return  # somebody works there again
        log.error("[BATCH] batch=%s status=%s reason=its files are lost", record.id, after.status)

    def forget_places(self, others: Sequence[BatchRecord]) -> None:
        """Forget the storages that have no leader and that no batch waits for."""
        needed = {record.place for record in others} | {leader.place for leader in leaders(self._connection)}
        for where in known_storages(self._connection).keys() - needed:
            self._connection.hdel(STORAGES, where)


def _in_queue_key(place_name: str) -> str:
    """What of a storage's batches is in the queue: JSON, [near, delayed] by batch."""
    return f"nightshift:batches:in_queue:{place_name}"
