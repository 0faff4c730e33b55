"""How many batch lines may be in flight at once: a few ahead of the workers, or, with a reserve, what leaves it free.

A free worker takes whatever the queue has. So with a reserve no line waits ahead: there are at most as many lines, in
the queue and running, as there are workers beyond the reserve.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import worker_status
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from redis import Redis

    from app.settings import Settings

log = logging.getLogger(__name__)

#: how often the workers are counted, seconds
COUNT_SECONDS = 2.0
#: lines in the queue for each worker that lives, when the setting does not say
LINES_PER_WORKER = 4
#: lines that wait out a delay are counted by themselves: at most this many times as many
DELAYED_FACTOR = 4
_WITHOUT_CLAUDE = (WorkerState.STARTING, WorkerState.UNAVAILABLE)


@dataclass(frozen=True)
class Capacity:
    """Bounds over all batches together."""

    #: lines that wait for their turn or run
    near: int
    #: the same, and those that wait out a delay
    in_flight: int


def beyond_reserve(connection: Redis, settings: Settings) -> int:
    """How many workers may run batch lines: those that have a Claude and are not kept for interactive requests."""
    rows = worker_status.read_all(connection)
    able = sum(row.is_alive(settings.lease_seconds) and row.state not in _WITHOUT_CLAUDE for row in rows)
    return max(0, able - settings.reserve)


def living(connection: Redis, settings: Settings) -> int:
    """How many workers there are."""
    return sum(row.is_alive(settings.lease_seconds) for row in worker_status.read_all(connection))


class Capacities:
    """Counts the workers now and then."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._found = Capacity(0, 0)
        self._next_count = 0.0
        self._is_all_reserved = False

    def look(self) -> Capacity:
        """What holds now, at most `COUNT_SECONDS` old."""
        if time.monotonic() >= self._next_count:
            self._next_count = time.monotonic() + COUNT_SECONDS
            self._found = self._with_reserve() if self._settings.reserve else self._without()
        return self._found

    def _without(self) -> Capacity:
        near = self._settings.batch_in_queue or LINES_PER_WORKER * max(1, living(self._connection, self._settings))
        return Capacity(near, near * (1 + DELAYED_FACTOR))

    def _with_reserve(self) -> Capacity:
        workers = beyond_reserve(self._connection, self._settings)
        if (workers == 0) != self._is_all_reserved:
            self._is_all_reserved = workers == 0
            log.warning(
                "[BATCH] %s NIGHTSHIFT_RESERVE=%d",
                "no line is started: there is no worker beyond" if workers == 0 else "there are workers again beyond",
                self._settings.reserve,
            )
        # One that waits out a delay comes back to the queue's head by itself: it has its worker, too.
        lines = min(workers, self._settings.batch_in_queue or workers)
        return Capacity(lines, lines)
