"""What one client that reads an answer along has not been given yet: bounded, whole, in order.

The process's one listener puts pieces into an `Inbox`; a `Feed` takes them out, and fetches from Redis what the inbox had
no room for, or what was emitted before anybody here listened.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.connection import AWAY
from app.jobs import deltas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from app.jobs.deltas import Delta

#: pieces and bytes that wait for a client that reads slowly; beyond that they are left in Redis
MAX_PIECES = 256
MAX_BYTES = 256 * 1024
_PAGE = 256
_RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Taken:
    """What had come."""

    pieces: list[Delta]
    #: there may be others before these, in Redis
    has_missed: bool
    #: the job may have ended
    may_have_ended: bool


class Inbox:
    """Filled by the listener's thread, emptied by the client's. One for a job that may be old says "look" first."""

    def __init__(self, *, is_new: bool = False) -> None:
        self._changed = threading.Condition()
        self._pieces: deque[Delta] = deque()
        self._bytes = 0
        self._has_missed = self._may_have_ended = not is_new

    def put(self, piece: Delta) -> None:
        """A piece was emitted."""
        with self._changed:
            if len(self._pieces) >= MAX_PIECES or self._bytes + len(piece.data) > MAX_BYTES:
                self._clear()
                self._has_missed = True
            else:
                self._pieces.append(piece)
                self._bytes += len(piece.data)
            self._changed.notify()

    def set(self) -> None:
        """The job may have ended, and pieces may have been missed (`threading.Event` has this method too)."""
        with self._changed:
            self._may_have_ended = True
            self._changed.notify()

    def miss(self) -> None:
        """Nobody listened for a while."""
        with self._changed:
            self._has_missed = True
            self._changed.notify()

    def take(self, timeout: float) -> Taken:
        """What there is, waited for `timeout` seconds when there is nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._has_missed or self._may_have_ended, timeout)
            taken = Taken(list(self._pieces), self._has_missed, self._may_have_ended)
            self._clear()
            self._has_missed = self._may_have_ended = False
            return taken

    def _clear(self) -> None:
        self._pieces.clear()
        self._bytes = 0


class Feed:
    """The pieces of one job's answer from its beginning, in order, without holes. After a hole there are none any more."""

    def __init__(self, connection: Redis, job_id: str, inbox: Inbox) -> None:
        self._connection = connection
        self._job_id = job_id
        self._inbox = inbox
        self._number = 0
        self._is_behind = False
        self._is_whole = True
        #: the job may have ended; whoever looks sets it back
        self.may_have_ended = False

    def next(self, timeout: float) -> list[dict[str, Any]]:
        """The next pieces, parsed; none when there are none within `timeout` seconds, or there is another thing to do."""
        taken = self._inbox.take(0 if self._is_behind else timeout)
        self.may_have_ended = self.may_have_ended or taken.may_have_ended
        self._is_behind = self._is_behind or taken.has_missed
        if not self._is_whole:
            return []
        found: list[dict[str, Any]] = []
        has_read = self._is_behind
        if has_read:
            try:
                page = deltas.read(self._connection, self._job_id, after=self._number, count=_PAGE)
            except AWAY:
                time.sleep(min(timeout, _RETRY_SECONDS))
                return []
            self._is_behind = len(page) == _PAGE
            self._is_whole = self._append(page, found)
        if self._is_whole and not self._append(taken.pieces, found):
            # What is emitted was kept before: if Redis was just read to its end, a missing piece is gone.
            self._is_whole = not has_read or self._is_behind
            self._is_behind = self._is_whole
        return found

    def _append(self, pieces: Iterable[Delta], found: list[dict[str, Any]]) -> bool:
        """Add those that come next. False when there is a hole before one."""
        for piece in pieces:
            if piece.number > self._number + 1:
                return False
            if piece.number == self._number + 1:
                found.append(json.loads(piece.data))
                self._number = piece.number
        return True
