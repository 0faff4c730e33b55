"""The first line alone, then the rest: lines that begin at once would each write what they have in common to the prompt cache, and none would read it.

Known to the process that feeds alone: after a restart one line goes first again, which costs no more than its time.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.batches import head
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from app.batches.collector import Look
    from app.batches.record import BatchRecord
    from app.settings import Settings

log = logging.getLogger(__name__)

#: the least that the API keeps it after a line; and how long others wait for the one that goes first, seconds
KEPT_SECONDS = 300.0
WAIT_SECONDS = 600.0


@dataclass
class _State:
    """Of a batch: lines that have ended; until when its head is kept; since when one line goes first. By `time.monotonic()`."""

    ended: int
    kept_until: float = 0.0
    since: float | None = None


class FirstAlone:
    """Used by the process that does the batches' work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._states: dict[str, _State] = {}

    def room(self, look: Look) -> float:
        """How many further lines of the batch may go into the queue, for this; `inf`: any."""
        record = look.record
        if not head.is_kept(record) or not self._goes_by_requests(record):
            return math.inf
        now = time.monotonic()
        state = self._states.setdefault(record.id, _State(record.ended))
        if record.ended > state.ended:
            state.ended, state.since, state.kept_until = record.ended, None, now + KEPT_SECONDS
        if now < state.kept_until:
            return math.inf
        if state.since is None:
            state.since = now
            log.info("[BATCH] batch=%s begins alike by %d bytes: one line goes first", record.id, record.head_bytes)
        if now >= state.since + WAIT_SECONDS:
            return math.inf
        return max(0, 1 - len(look.in_queue))

    def among(
        self, looks: Mapping[str, Look], is_due: Callable[[BatchRecord], bool]
    ) -> tuple[Callable[[BatchRecord], bool], Mapping[str, float]]:
        """Whether a batch that is due may start a line, and how many, of those that were asked about. All other batches are forgotten."""
        self.keep(looks)
        rooms: dict[str, float] = {}

        def may_start(record: BatchRecord) -> bool:
            if not is_due(record):
                return False
            if record.id in looks:
                rooms[record.id] = self.room(looks[record.id])
            return rooms.get(record.id, 1) >= 1

        return may_start, rooms

    def keep(self, batch_ids: Collection[str]) -> None:
        """Forget all others."""
        self._states = {batch_id: state for batch_id, state in self._states.items() if batch_id in batch_ids}

    def _goes_by_requests(self, record: BatchRecord) -> bool:
        """Message batches have their own first line (`parts.feeding`)."""
        return record.way != Way.BATCHES and any(step.way is not Way.BATCHES for step in self._settings.ways)
