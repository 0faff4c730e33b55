"""The validations that are under way in the process that does the batches' work, a slice at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.api_keys import ApiKeys
from app.batches import lifecycle, since
from app.batches.collector import Look
from app.batches.head import HeadFinder
from app.batches.metadata import FAIL, ON_BAD_LINE
from app.batches.validation import Validation
from app.ids import OWNER

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.record import BatchRecord
    from app.batches.steps import Steps
    from app.batches.storage import Storage
    from app.settings import Settings

log = logging.getLogger(__name__)

#: a validation's turn, while others wait, seconds
SLICE_SECONDS = 0.25


class Validations:
    """By batch. Whoever goes on after a crash begins each anew."""

    def __init__(self, connection: Redis, settings: Settings, storage: Storage, steps: Steps) -> None:
        self._connection = connection
        self._settings = settings
        self._storage = storage
        self._steps = steps
        self._running: dict[str, Validation] = {}

    def advance(self, record: BatchRecord) -> Look:
        """A slice of the batch's validation; its end is written down. Raises `OSError` when its files can't be used."""
        running = self._running.get(record.id)
        if running is None:
            is_strict = record.metadata.get(ON_BAD_LINE) == FAIL
            key = None if record.owner == OWNER else ApiKeys(self._connection).get(record.owner)
            running = Validation(self._storage, record, self._settings, is_strict=is_strict, key=key, head=HeadFinder())
            self._running[record.id] = running
        try:
            done = running.step(SLICE_SECONDS)
        except OSError:
            self.drop(record.id)
            raise
        if not done:
            return Look(record, moved=True)
        del self._running[record.id]
        found = running.check
        after = self._steps.do(
            record.id,
            lifecycle.validated,
            total=found.total,
            faults=running.faults,
            refused=running.refused,
            model=found.model,
            copied=running.copied,
            head=None if running.head is None else running.head.found(),
        )
        if record.since:
            since.unlink(self._storage, record.id)
        log.info(
            "[BATCH] batch=%s status=%s lines=%d faults=%d refused=%d copied=%d",
            record.id,
            after.status,
            found.total,
            running.faults,
            running.refused,
            running.copied.lines,
        )
        # Which way its lines go is seen at the next look.
        return Look(after, moved=True, retries=())

    def drop(self, batch_id: str) -> None:
        """Forget the batch's validation, if one is under way."""
        if (running := self._running.pop(batch_id, None)) is not None:
            running.close()

    def close(self) -> None:
        """Forget all."""
        for batch_id in list(self._running):
            self.drop(batch_id)
