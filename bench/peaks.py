"""The most memory that the processes of a stack take while something goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from bench import processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

#: what the server says that its data takes
REDIS_DATA = "redis data"
_LOOK_SECONDS = 0.1
_MIB = 1024 * 1024


class Peaks:
    """Looks from `with` to its end. MiB, resident, by kind of process; with `redis` also what its data takes."""

    def __init__(self, pid: int, kinds: Sequence[str], redis: Redis | None = None) -> None:
        self._pid = pid
        self._kinds = kinds
        self._redis = redis
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        #: of all processes together
        self.peak_sum = 0.0

    def __enter__(self) -> Self:
        self.before = self._look()
        self.peak = dict(self.before)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            now = self._look()
            self.peak = {kind: max(size, self.peak[kind]) for kind, size in now.items()}
            self.peak_sum = max(self.peak_sum, sum(now[kind] for kind in self._kinds))

    def _look(self) -> dict[str, float]:
        found = processes.rss_by_kind(self._pid, self._kinds)
        if self._redis is not None:
            found[REDIS_DATA] = int(self._redis.info("memory")["used_memory"]) / _MIB
        return found
