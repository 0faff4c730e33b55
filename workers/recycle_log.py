"""Notes each replaced Claude process in Redis: for the history, the counters, and the webhooks that want it."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Self

from app import clock
from app.connection import AWAY
from app.history import RecycleEvent, recycling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from workers.engine import Recycle

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
#: how long what was not noted yet is waited for at the end, seconds
_STOP_SECONDS = 2.0


class RecycleLog:
    """One thread, since the engine must not wait for Redis. While that is away, what happened is kept."""

    def __init__(self, connection: Redis, worker: str, memory_limits_mb: Mapping[str, float]) -> None:
        """`memory_limits_mb`: by the reasons of recycles for memory, which webhooks can report."""
        self._memory_limits_mb = memory_limits_mb
        self._connection = connection
        self._worker = worker
        self._heard: queue.SimpleQueue[RecycleEvent | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recycles", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._heard.put(None)
        self._thread.join(_STOP_SECONDS)
        self._ended.set()

    def note(self, recycle: Recycle) -> None:
        """From any thread, and at once."""
        r = recycle
        self._heard.put(RecycleEvent(clock.now(), self._worker, r.reason, r.turns, r.rss_before_mb, r.rss_after_mb))

    def _run(self) -> None:
        while (event := self._heard.get()) is not None:
            while not self._ended.is_set():
                try:
                    recycling.note(self._connection, event, self._memory_limits_mb.get(event.reason))
                    break
                except AWAY:
                    self._ended.wait(_AGAIN_SECONDS)
                except Exception:
                    log.exception("a recycled process is not reported")
                    break
