"""Logs a batch's progress: one line a minute while it advances and one at its end, instead of a line for each request."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app.batches.record import BatchStatus

if TYPE_CHECKING:
    from app.batches.record import BatchRecord

log = logging.getLogger(__name__)

#: between two lines about one batch, seconds
EVERY_SECONDS = 60.0


class Progress:
    """Of the batches that one process works on. `note` is called at each look at a batch."""

    def __init__(self) -> None:
        #: when a line about a batch is due, and how many of its requests had ended at the last one
        self._due: dict[str, tuple[float, int]] = {}

    def note(self, record: BatchRecord) -> None:
        """Log how far it is, when it is time."""
        if record.status.is_final:
            self._due.pop(record.id, None)
            if record.status is not BatchStatus.FAILED:  # whose end is in the line of its validation
                _log(record)
            return
        now, ended = time.monotonic(), record.ended
        due, before = self._due.setdefault(record.id, (now + EVERY_SECONDS, ended))
        if now >= due:
            self._due[record.id] = (now + EVERY_SECONDS, ended)
            if ended != before:
                _log(record)


def _log(record: BatchRecord) -> None:
    log.info(
        "[BATCH] batch=%s status=%s completed=%d failed=%d unrun=%d of %d",
        record.id,
        record.status,
        record.completed,
        record.failed,
        record.unrun,
        record.total,
    )
