"""The warm Claude processes: launched for a profile, replaced, retired.

Runs on the invoker's event loop alone, so nothing here needs a lock. Whatever takes time (a launch, a replacement, an
end) is a task beside the turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from app.login import login_in_use
from app.messages.failure import FailureKind, TurnFailed
from app.recycle_reason import RecycleReason
from workers.claude.process import ClaudeProcess
from workers.claude.watch import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.login import Login
    from app.settings import Settings
    from workers.claude.profile import Profile
    from workers.claude.tasks import Tasks

logger = logging.getLogger(__name__)

#: First and longest wait between two attempts to start a process, seconds.
BACKOFF_SECONDS = (0.5, 30.0)


class Pool:
    """At most one warm process for a profile, and `warm_processes` in all. Its owner says which of them runs a turn (`busy`)."""

    def __init__(
        self,
        settings: Settings,
        work_dir: Path,
        profile: Profile,
        tasks: Tasks,
        *,
        on_change: Callable[[], None],
        on_replaced: Callable[[ClaudeProcess, ClaudeProcess | None, str], None],
    ) -> None:
        """`profile` is the one to start with.

        `on_replaced` gets a process that went, what came in its place (None: nothing), and the reason.
        """
        self._settings = settings
        self._work_dir = work_dir
        self._tasks = tasks
        self._on_change = on_change
        self._on_replaced = on_replaced
        #: what was asked for last, and is kept ready
        self.latest = profile
        self.busy: ClaudeProcess | None = None
        self.replacing: set[ClaudeProcess] = set()
        #: when a start may be tried again (`time.monotonic()`), and why the last one failed; None: at once
        self.retry_at: float | None = None
        self.start_error = ""
        self._failed_starts = 0
        #: least recently used first
        self._warm: dict[Profile, ClaudeProcess] = {}
        self._limits: dict[ClaudeProcess, Limits] = {}
        self._launches: dict[Profile, asyncio.Task[ClaudeProcess]] = {}
        self._alive: set[ClaudeProcess] = set()
        self._is_closed = False

    def current(self) -> ClaudeProcess | None:
        """The warm process that the latest profile has, usable or not."""
        return self._warm.get(self.latest)

    def holds(self, process: ClaudeProcess) -> bool:
        """Whether it is one of the warm ones; one that is not has been replaced."""
        return self._warm.get(process.profile) is process

    def alive(self) -> list[ClaudeProcess]:
        """All that take memory: the warm ones, those that start, those that end. Can be called from any thread."""
        return [*self._alive]

    def limits(self, process: ClaudeProcess) -> Limits | None:
        """None for one that is on its way out."""
        return self._limits.get(process)

    def take(self, profile: Profile, login: Login | None) -> ClaudeProcess | None:
        """The warm process of this profile, if there is one that can be used. All of another login go.

        Called between turns.
        """
        for process in [*self._warm.values()]:
            if process.login != login:
                self.drop(process, RecycleReason.LOGIN)
        found = self._warm.get(profile)
        if found is None or not found.is_usable:
            return None
        self._warm[profile] = self._warm.pop(profile)
        self.latest = profile
        return found

    def convertible(self, profile: Profile) -> ClaudeProcess | None:
        """The warm process used last that can be told to serve this profile, of which there is none."""
        if profile in self._warm or profile in self._launches:
            return None
        usable = [one for one in self._warm.values() if one.is_usable and one not in self.replacing]
        return next((one for one in reversed(usable) if one.may_become(profile)), None)

    async def convert(self, process: ClaudeProcess, profile: Profile) -> None:
        """Have it serve this profile: some milliseconds instead of a start. One that does not do so is ended."""
        del self._warm[process.profile]
        self._warm[profile] = process
        if not await process.become(profile):
            self.drop(process, RecycleReason.PROFILE)

    def launch(self, profile: Profile) -> asyncio.Task[ClaudeProcess]:
        """Start a process that becomes the warm one of its profile; one launch at a time each. Raises `TurnFailed`."""
        if self._is_closed:
            raise TurnFailed(FailureKind.UNAVAILABLE, "This invoker is closed.")
        launch = self._launches.get(profile)
        if launch is None:
            launch = self._tasks.spawn(self._launch_warm(profile), may_be_cancelled=False)
            self._launches[profile] = launch
            launch.add_done_callback(lambda _: self._launches.pop(profile, None))
        return launch

    def prepare(self, profile: Profile) -> None:
        """Have a warm process of this profile; what fails is tried again by the watch."""

        async def prepare() -> None:
            with suppress(TurnFailed):
                await asyncio.shield(self.launch(profile))

        self._tasks.spawn(prepare())

    def prepare_again(self) -> None:
        """Should the latest profile have no process, and the wait after a failed start be over: start one."""
        if self.retry_at is None or time.monotonic() < self.retry_at or self._launches or self.current() is not None:
            return
        self.retry_at = None
        self.prepare(self.latest)

    def replace(self, process: ClaudeProcess, reason: str) -> None:
        """Have another process in its place; a usable one keeps working until that is connected."""
        if process in self.replacing or process not in self._limits or self._is_closed:
            return
        self.replacing.add(process)
        if not process.is_usable:
            self._warm.pop(process.profile, None)
            self.retire(process)
        self._tasks.spawn(self._replacement(process, reason))

    def drop(self, process: ClaudeProcess, reason: str) -> None:
        """End it, with nothing in its place until that is asked for."""
        del self._warm[process.profile]
        self.retire(process)
        self._on_replaced(process, None, reason)
        self._on_change()

    def use_up(self, process: ClaudeProcess) -> None:
        """End a process that has served its one request, and prepare the next."""
        del self._warm[process.profile]
        self.retire(process)
        self.prepare(process.profile)

    def retire(self, process: ClaudeProcess) -> None:
        """End it."""
        self._limits.pop(process, None)

        async def retire() -> None:
            await process.close()
            self._alive.discard(process)

        self._tasks.spawn(retire())

    async def close(self) -> None:
        """End every process and every task, and wait for them."""
        self._is_closed = True
        self._tasks.cancel()
        for process in self._alive:
            # One that is just starting is not waited for.
            if not process.is_usable:
                process.kill(RecycleReason.CLOSED)
        await self._tasks.wait()
        await asyncio.gather(*(process.close() for process in [*self._alive]), return_exceptions=True)

    async def _launch_warm(self, profile: Profile) -> ClaudeProcess:
        process = await self._start(profile)
        before = self._warm.get(profile)
        if before is None and profile != self.latest and len(self._warm) >= self._settings.warm_processes:
            # Overtaken by requests with other profiles.
            self.retire(process)
            return process
        if before is None and profile != self.latest:
            # Nobody has used it yet.
            self._warm = {profile: process, **self._warm}
        else:
            # In the place of the one before: a replacement is no use of it.
            self._warm[profile] = process
        if before is not None and before is not self.busy:
            self.retire(before)
        for old in [p for p in self._warm if p != profile][: max(0, len(self._warm) - self._settings.warm_processes)]:
            self._evict(old, process)
        self._on_change()
        return process

    def _evict(self, profile: Profile, successor: ClaudeProcess) -> None:
        evicted = self._warm.pop(profile)
        if evicted not in self.replacing:
            self._on_replaced(evicted, successor, RecycleReason.PROFILE if evicted.is_usable else str(evicted.defect))
        if evicted is not self.busy:
            self.retire(evicted)

    async def _start(self, profile: Profile) -> ClaudeProcess:
        process = ClaudeProcess(self._settings, login_in_use(self._settings), profile, self._work_dir)
        self._alive.add(process)
        try:
            await process.start()
        except TurnFailed as error:
            if error.kind is FailureKind.UNAVAILABLE and not self._is_closed:
                self._note_failed_start(error)
            raise
        finally:
            if not process.is_usable:
                self.retire(process)
        self._failed_starts, self.retry_at, self.start_error = 0, None, ""
        self._limits[process] = Limits.draw(self._settings)
        return process

    def _note_failed_start(self, error: TurnFailed) -> None:
        first, longest = BACKOFF_SECONDS
        wait = min(longest, first * 2**self._failed_starts) * random.uniform(0.5, 1.0)
        self._failed_starts = min(self._failed_starts + 1, 30)
        self.retry_at = time.monotonic() + wait
        self.start_error = error.message
        error.retry_after = wait
        logger.warning("Claude could not be started, next attempt in %.1f s: %s", wait, error.message)
        self._on_change()

    async def _replacement(self, old: ClaudeProcess, reason: str) -> None:
        self._on_change()
        await old.measure()
        try:
            new = await asyncio.shield(self.launch(old.profile))
        except TurnFailed:
            return
        finally:
            self.replacing.discard(old)
            self._on_change()
        self._on_replaced(old, new, reason)
