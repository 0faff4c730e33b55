"""Looks at all Claude processes of a worker: life, memory, idle time. Each draws limits of its own, at which it is recycled."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import psutil

from app.memory import MIB, held_mb
from app.recycle_reason import RecycleReason

if TYPE_CHECKING:
    from app.settings import Settings
    from workers.claude.pool import Pool
    from workers.claude.process import ClaudeProcess


#: How far limits are spread between processes, so that they don't all recycle at once.
JITTER = 0.1


@dataclass(frozen=True)
class Limits:
    """What one process may come to; each draws its own."""

    turns: int
    rss_mb: float
    idle_seconds: float

    @classmethod
    def draw(cls, settings: Settings) -> Self:
        """The settings' limits, a little more or less."""

        def around(value: float) -> float:
            return value * random.uniform(1 - JITTER, 1 + JITTER)

        idle = around(settings.max_idle_seconds) if settings.max_idle_seconds else float("inf")
        return cls(max(1, round(around(settings.max_turns))), around(settings.max_rss_mb), idle)


def tree_rss_mb(pid: int | None) -> float:
    """Resident memory of a process and all its descendants, MiB; 0 when it is gone. Takes some milliseconds."""
    if pid is None:
        return 0.0
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return round(total / MIB, 1)


def own_rss_mb() -> float:
    """Memory of this Python process, MiB, of what it shares its part."""
    return round(held_mb(psutil.Process()), 1)


logger = logging.getLogger(__name__)

#: How often it looks, seconds.
TICK_SECONDS = 1.0


class Watch:
    """Has the pool replace what is over a limit between turns, and ends at once what is over the hard one."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._hard_rss_mb = settings.hardest_rss_mb
        #: memory of this Python process when it was last measured, MiB
        self.own_rss_mb = own_rss_mb()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self._look()
            except Exception:
                logger.exception("The watch over Claude's processes stumbled")
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self) -> None:
        self._pool.prepare_again()
        self.own_rss_mb = await asyncio.to_thread(own_rss_mb)
        for process in self._pool.alive():
            await process.measure()
            self._judge(process)

    def _judge(self, process: ClaudeProcess) -> None:
        if process.is_usable and process.rss_mb > self._hard_rss_mb:
            # With the turn that it runs.
            process.kill(RecycleReason.RSS_HARD)
        limits = self._pool.limits(process)
        if process is self._pool.busy or limits is None or not self._pool.holds(process):
            return
        if not process.is_usable:
            self._pool.replace(process, str(process.defect))
        elif process.rss_mb > limits.rss_mb:
            self._pool.replace(process, RecycleReason.RSS)
        elif process.turns and time.monotonic() - process.last_used > limits.idle_seconds:
            if process is self._pool.current():
                self._pool.replace(process, RecycleReason.IDLE)
            else:
                self._pool.drop(process, RecycleReason.IDLE)
