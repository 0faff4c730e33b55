"""Many deliveries at once in one process, with a bound for each host, so that a slow one does not hold up the others.

An RQ worker does one job at a time, and a receiver may take the whole timeout for each. So the job starts a thread and
returns. That is safe because the queue owns nothing here: the outbox does, and an event whose thread dies is due again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: deliveries at once in a process; a waiting thread costs some 40 KB
MAX_DELIVERIES = 32
#: of these, to one host: four slow receivers leave half of the lanes to the others
MAX_PER_HOST = 4


class Lanes:
    """Runs work in threads, with a limit for all and one for each host."""

    def __init__(self, *, total: int = MAX_DELIVERIES, per_host: int = MAX_PER_HOST) -> None:
        self._total = total
        self._per_host = per_host
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()

    def start(self, host: str, work: Callable[[], object]) -> bool:
        """Start `work` in a thread, waiting for a free lane if need be. False, and no work, if the host has its share.

        What `work` raises is logged: whoever waits for it looks into the outbox.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_full(host) or self._running.total() < self._total)
            if self._is_full(host):
                return False
            self._running[host] += 1
        try:
            threading.Thread(target=self._run, args=(host, work), name=f"deliver-{host}", daemon=True).start()
        except BaseException:
            self._leave(host)
            raise
        return True

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until nothing runs; False if that took too long. What still runs then is left to its claim's end."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            return self._changed.wait_for(lambda: not self._running.total(), deadline - time.monotonic())

    def _is_full(self, host: str) -> bool:
        return self._running[host] >= self._per_host

    def _run(self, host: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            log.exception("[CALLBACK] a delivery broke off; its event is due again when its claim ends")
        finally:
            self._leave(host)

    def _leave(self, host: str) -> None:
        with self._changed:
            self._running[host] -= 1
            self._running += Counter()  # drops hosts at zero
            self._changed.notify_all()
