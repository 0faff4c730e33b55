"""One round after the other: what is due of each part of the batches in this process's storage.

Each part is sent once: that it is about to be is noted before (`sending`), its id afterwards (`sent`). Whoever finds a part
`sending` that he is not sending himself does not know whether the API has it, and looks into the API's list.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app import clock, logs
from app.batches.leadership import is_at
from app.batches.parts import lifecycle
from app.batches.parts.record import PartState
from app.batches.record import BatchStatus
from app.gate import Cause, read_closings
from app.messages.failure import TurnFailed
from app.ways import Way
from app.window import is_open
from workers.lane.sending import DOUBT_SECONDS, Sender
from workers.lane.tools import Tools
from workers.lane.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from app.batches.leadership import Leadership
    from app.batches.parts.record import Part
    from app.batches.parts.steps import PartSteps
    from app.batches.record import BatchRecord
    from app.settings import Settings
    from workers.lane.api import BatchesApi

log = logging.getLogger(__name__)


class Lane:
    """Used by one thread."""

    def __init__(
        self,
        connection: Redis,
        settings: Settings,
        api: BatchesApi,
        steps: PartSteps,
        *,
        doubt_seconds: float = DOUBT_SECONDS,
    ) -> None:
        self._tools = Tools(connection, settings, api, steps)
        self._sender = Sender(self._tools, doubt_seconds=doubt_seconds)
        self._watcher = Watcher(self._tools)

    def run_once(self, leadership: Leadership) -> bool:
        """Do what is due. Whether anything was done. Raises `NotLeader`, and redis-py's errors when Redis is away."""
        moved = False
        may_send = self._is_open()
        for record in self._tools.batches.active():
            is_here = is_at(self._tools.connection, record.place, leadership.place)
            if not is_here or record.status is BatchStatus.VALIDATING:
                continue
            for part in self._tools.steps.read(record.id).by_id.values():
                with logs.about(batch_id=record.id):
                    moved = self._advance(record, part, may_send=may_send) or moved
        return moved

    def _advance(self, record: BatchRecord, part: Part, *, may_send: bool) -> bool:
        key = record.id, part.id
        if not self._tools.times.is_due(key):
            return False
        may_send = may_send and not part.is_over and self._may_start(record)
        work: dict[PartState, Callable[[BatchRecord, Part], None]] = {
            PartState.SENDING: self._sender.look_for,
            PartState.SENT: self._watcher.watch,
            PartState.ENDED: self._watcher.read,
        }
        if may_send:
            work[PartState.ALLOTTED] = self._sender.compose
        if may_send and self._tools.times.may_send():
            work[PartState.COMPOSED] = self._sender.send
        if (step := work.get(part.state)) is None:
            return False
        try:
            step(record, part)
        except TurnFailed as failure:
            seconds = self._tools.times.put_off(key, failure.retry_after)
            self._wait(record, part, failure.message)
            log.warning("[PART] batch=%s part=%s waits %.0f s: %s", record.id, part.id, seconds, failure.message)
        except OSError as error:
            # The disk is full, or the batch's folder is gone, which the feeder notices.
            self._tools.times.put_off(key)
            log.warning("[PART] batch=%s part=%s waits: %s", record.id, part.id, error)
        return True

    def _is_open(self) -> bool:
        """Whether parts may be sent. A closed way whose time has come is tried: by what costs nothing, or by the next part."""
        closings = read_closings(self._tools.connection)
        if closings.pause is not None:
            return False
        closed = closings.holding(Way.BATCHES)
        if closed is None:
            return True
        if not closed.may_be_probed:
            return False
        if closed.cause is Cause.LOGIN:
            try:
                self._tools.api.check_login()
            except TurnFailed as failure:
                self._tools.close_way(failure)
                return False
        self._tools.gate.open()
        return True

    def _may_start(self, record: BatchRecord) -> bool:
        now = clock.now()
        hours = record.window or self._tools.settings.batch_window
        is_over = record.status is not BatchStatus.IN_PROGRESS or now >= record.expires_at
        return not is_over and not record.held and is_open(hours, now)

    def _wait(self, record: BatchRecord, part: Part, why: str) -> None:
        """Say it, for people."""
        if part.waits != why:
            self._tools.steps.do(record.id, part.id, lifecycle.note_wait, why[:500])
