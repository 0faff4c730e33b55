"""Looks at the warm Claude process between its turns: life, memory, idle time."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from workers.claude.memory import own_rss_mb

if TYPE_CHECKING:
    from workers.claude.pool import Pool

logger = logging.getLogger(__name__)

#: How often it looks, seconds.
TICK_SECONDS = 1.0


class Watch:
    """Has the pool replace what is over a limit. See the module."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        #: resident memory of this Python process when it was last measured, MiB
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
        process = self._pool.current()
        if process is None:
            self._pool.prepare_again()
            return
        await process.measure()
        self.own_rss_mb = await asyncio.to_thread(own_rss_mb)
        limits = self._pool.limits(process)
        if process is self._pool.busy or limits is None or not self._pool.holds(process):
            return
        if not process.is_usable:
            self._pool.replace(process, str(process.defect))
        elif process.rss_mb > limits.rss_mb:
            self._pool.replace(process, "rss")
        elif process.turns and time.monotonic() - process.last_used > limits.idle_seconds:
            self._pool.replace(process, "idle")
