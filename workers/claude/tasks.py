"""Tasks that run beside the turns, kept so that none is lost and every failure of one is seen."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from app.messages.failure import TurnFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Tasks:
    """The tasks that have begun and not ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        #: those of them that are never cancelled, lest they leave a process behind
        self._kept: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], *, may_be_cancelled: bool = True) -> asyncio.Task[T]:
        """Begin it now."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        if not may_be_cancelled:
            self._kept.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Cancel all that may be."""
        for task in self._running - self._kept:
            task.cancel()

    async def wait(self) -> None:
        """Until all have ended, however they do; those as well that they begin meanwhile."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._kept.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, TurnFailed):
            logger.error("A task beside Claude's turns failed", exc_info=error)
