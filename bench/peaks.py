"""The most memory that the processes of a stack take while something goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from bench import processes

if TYPE_CHECKING:
    from redis import Redis

#: of the processes that are looked at; the supervisor feeds
KINDS = ("api", "supervisor", "redis")
#: what the server says that its data takes
REDIS_DATA = "redis data"
_LOOK_SECONDS = 0.1
_MIB = 1024 * 1024


class Peaks:
    """Looks from `with` to its end. MiB, resident, by kind of process; of Redis also what its data takes."""

    def __init__(self, pid: int, redis: Redis) -> None:
        self._pid = pid
        self._redis = redis
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before: dict[str, float] = {}
        self.peak: dict[str, float] = {}

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
            for kind, size in self._look().items():
                self.peak[kind] = max(self.peak[kind], size)

    def _look(self) -> dict[str, float]:
        data = int(self._redis.info("memory")["used_memory"]) / _MIB
        return {**processes.rss_by_kind(self._pid, KINDS), REDIS_DATA: data}
