"""Keeps Claude processes ready: launched for a profile, wiped after each turn, recycled, replaced when they fail.

Runs on the invoker's event loop alone, so nothing here needs a lock. Whatever takes time (a wipe, a replacement, an
end) is a task beside the turns; a turn waits for one only when it cannot do without.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app.login import login_in_use
from workers.claude.failures import FailureKind, TurnFailed
from workers.claude.memory import own_rss_mb
from workers.claude.process import ClaudeProcess
from workers.claude.status import InvokerStatus, Restart, State

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from app.login import Login
    from app.settings import Settings
    from workers.claude.answer import Answer, Delta
    from workers.claude.profile import Profile, Prompt

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Processes kept ready, each for another profile. One costs 200-300 MB.
WARM_PROCESSES = 1
#: How often memory, idle time and life are looked at, seconds.
TICK_SECONDS = 1.0
#: First and longest wait between two attempts to start a process, seconds.
BACKOFF_SECONDS = (0.5, 30.0)
#: How far limits are spread between workers, so that they don't all recycle at once.
JITTER = 0.1


def _is_bare(login: Login | None) -> bool:
    return login is None or login.allows_bare


@dataclass
class _Limits:
    """When a process is recycled; each process draws its own."""

    turns: int
    rss_mb: float
    idle_seconds: float

    @classmethod
    def draw(cls, settings: Settings) -> _Limits:
        def around(value: float) -> float:
            return value * random.uniform(1 - JITTER, 1 + JITTER)

        idle = around(settings.max_idle_seconds) if settings.max_idle_seconds else float("inf")
        return cls(max(1, round(around(settings.max_turns))), around(settings.max_rss_mb), idle)


class Keeper:
    """See the module. `ask` is called for one turn at a time."""

    def __init__(
        self, settings: Settings, work_dir: Path, profile: Profile, on_restart: Callable[[Restart], None] | None
    ) -> None:
        self._settings = settings
        self._work_dir = work_dir
        self._profile = profile.at_launch(is_bare=_is_bare(login_in_use(settings)))
        self._on_restart = on_restart
        self._warm: dict[Profile, ClaudeProcess] = {}
        self._limits: dict[ClaudeProcess, _Limits] = {}
        self._launches: dict[Profile, asyncio.Task[ClaudeProcess]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        #: those of them that start a process
        self._starts: set[asyncio.Task[Any]] = set()
        self._alive: set[ClaudeProcess] = set()
        self._wiping: asyncio.Task[None] | None = None
        self._replacing: set[ClaudeProcess] = set()
        self._busy: ClaudeProcess | None = None
        self._interrupted = asyncio.Event()
        self._retry_at: float | None = None
        self._failed_starts = 0
        self._is_closed = False
        self._state: State = "starting"
        self._reason = ""
        self._since = time.time()
        self._turns = 0
        self._errors = 0
        self._restarts: Counter[str] = Counter()
        self._own_rss_mb = own_rss_mb()

    def start(self) -> None:
        """Begin to connect, and to keep watch."""
        self._spawn(self._watch())
        self._spawn(self._prepare(self._profile))

    async def ask(
        self, prompt: Prompt, profile: Profile, deadline: float, on_delta: Callable[[Delta], None] | None
    ) -> Answer:
        """Run one turn until `deadline` (`time.monotonic()`). Raises `TurnFailed`."""
        self._interrupted.clear()
        login = login_in_use(self._settings)
        is_bare = _is_bare(login)
        try:
            process = await self._ready(profile.at_launch(is_bare=is_bare), login, deadline)
            self._busy = process
            self._turns += 1
            self._set("busy")
            try:
                if self._interrupted.is_set():
                    raise TurnFailed(FailureKind.INTERRUPTED, "The request was interrupted.")
                body = prompt.in_body(profile.body(is_bare=is_bare))
                return await process.ask(prompt, body, deadline, on_delta)
            finally:
                self._busy = None
                self._wiping = self._spawn(self._after_turn(process))
        except TurnFailed:
            self._errors += 1
            raise
        finally:
            self._settle()

    def interrupt(self) -> None:
        """End the running turn, or the wait for a process to run it."""
        self._interrupted.set()
        if self._busy is not None:
            self._busy.interrupt()

    async def close(self) -> None:
        """End every process and wait for it."""
        self._is_closed = True
        self.interrupt()
        for task in self._tasks - self._starts:
            task.cancel()
        for process in self._alive:
            # One that is just starting is not waited for; a start is never cancelled, lest it leave its process behind.
            if not process.is_usable:
                process.kill("closed")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.close() for process in [*self._alive]), return_exceptions=True)
        self._set("closed")

    def status(self) -> InvokerStatus:
        """Safe to call from any thread: it only reads."""
        process = self._busy or self._warm.get(self._profile)
        login = login_in_use(self._settings) if process is None else process.login
        return InvokerStatus(
            state=self._state,
            reason=self._reason,
            since=self._since,
            pid=process.pid if process and process.is_usable else None,
            turns=process.turns if process else 0,
            turns_total=self._turns,
            errors=self._errors,
            restarts=dict(self._restarts),
            rss_mb=process.rss_mb if process else 0.0,
            python_rss_mb=self._own_rss_mb,
            cli_version=process.cli_version if process else None,
            login=login.kind if login else None,
        )

    async def _ready(self, profile: Profile, login: Login | None, deadline: float) -> ClaudeProcess:
        """A process that is empty and of this profile and login. Raises `TurnFailed`."""
        if self._wiping is not None:
            await self._first(self._wiping, deadline)
        found = self._warm.get(profile)
        if found is not None and found.is_usable and found.login == login:
            self._warm[profile] = self._warm.pop(profile)
            return found
        if self._retry_at is not None and (wait := self._retry_at - time.monotonic()) > 0:
            raise TurnFailed(FailureKind.UNAVAILABLE, self._reason, retry_after=wait)
        self._profile = profile
        return await self._first(self._launch(profile), deadline)

    async def _first(self, task: asyncio.Task[T], deadline: float) -> T:
        """The task's result; raises `TurnFailed` when an interrupt or the deadline comes first."""
        interrupt = asyncio.ensure_future(self._interrupted.wait())
        try:
            timeout = max(0.0, deadline - time.monotonic())
            await asyncio.wait([task, interrupt], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupt.cancel()
        if task.done():
            return task.result()
        if self._interrupted.is_set():
            raise TurnFailed(FailureKind.INTERRUPTED, "The request was interrupted.")
        raise TurnFailed(FailureKind.DEADLINE, "The request's deadline passed before Claude was ready.")

    def _launch(self, profile: Profile) -> asyncio.Task[ClaudeProcess]:
        """Start a process that becomes the warm one of its profile; one launch at a time each."""
        launch = self._launches.get(profile)
        if launch is None:
            launch = self._starting(self._launch_warm(profile))
            self._launches[profile] = launch
            launch.add_done_callback(lambda _: self._launches.pop(profile, None))
        return launch

    async def _launch_warm(self, profile: Profile) -> ClaudeProcess:
        process = await self._start(profile)
        if profile != self._profile and len(self._warm) >= WARM_PROCESSES:
            # Overtaken by a request with another profile.
            self._retire(process)
            return process
        before = self._warm.pop(profile, None)
        self._warm[profile] = process
        self._settle()
        if before is not None and before is not self._busy:
            self._retire(before)
        for old in [p for p in self._warm if p != profile][: max(0, len(self._warm) - WARM_PROCESSES)]:
            evicted = self._warm.pop(old)
            self._report(evicted, process, "profile" if evicted.is_usable else str(evicted.defect))
            if evicted is not self._busy:
                self._retire(evicted)
        self._settle()
        return process

    async def _start(self, profile: Profile) -> ClaudeProcess:
        process = ClaudeProcess(self._settings, login_in_use(self._settings), profile, self._work_dir)
        self._alive.add(process)
        try:
            await process.start()
        except TurnFailed as error:
            if error.kind is FailureKind.UNAVAILABLE:
                self._note_failed_start(error)
            raise
        finally:
            if not process.is_usable:
                self._retire(process)
        self._failed_starts, self._retry_at = 0, None
        self._limits[process] = _Limits.draw(self._settings)
        return process

    def _note_failed_start(self, error: TurnFailed) -> None:
        first, longest = BACKOFF_SECONDS
        wait = min(longest, first * 2**self._failed_starts) * random.uniform(0.5, 1.0)
        self._failed_starts = min(self._failed_starts + 1, 30)
        self._retry_at = time.monotonic() + wait
        error.retry_after = wait
        logger.warning("Claude could not be started, next attempt in %.1f s: %s", wait, error.message)
        self._set("unavailable", error.message)

    async def _prepare(self, profile: Profile) -> None:
        """Have a warm process of this profile; what fails is tried again by the watch."""
        with suppress(TurnFailed):
            await asyncio.shield(self._launch(profile))

    async def _after_turn(self, process: ClaudeProcess) -> None:
        """Make ready for the next turn. The answer has been handed over already."""
        try:
            await self._make_ready(process)
        except Exception:
            logger.exception("A process that could not be made ready is replaced")
            process.kill("reset_failed")
            self._replace(process, "reset_failed")

    async def _make_ready(self, process: ClaudeProcess) -> None:
        is_current = self._warm.get(process.profile) is process
        if not is_current:
            self._retire(process)
        elif self._settings.isolation == "process":
            del self._warm[process.profile]
            self._retire(process)
            self._spawn(self._prepare(process.profile))
        elif not await process.reset():
            self._replace(process, str(process.defect))
        elif process.turns >= self._limits[process].turns:
            self._replace(process, "turns")

    def _replace(self, process: ClaudeProcess, reason: str) -> None:
        """Have another process in its place; a usable one goes on until that is connected."""
        if process in self._replacing or self._is_closed:
            return
        self._replacing.add(process)
        if not process.is_usable:
            self._warm.pop(process.profile, None)
            self._retire(process)
        self._spawn(self._replacement(process, reason))

    async def _replacement(self, old: ClaudeProcess, reason: str) -> None:
        self._settle()
        await old.measure()
        try:
            new = await asyncio.shield(self._launch(old.profile))
        except TurnFailed:
            return
        finally:
            self._replacing.discard(old)
            self._settle()
        self._report(old, new, reason)

    def _report(self, old: ClaudeProcess, new: ClaudeProcess, reason: str) -> None:
        """Count and log a replacement."""
        self._restarts[reason] += 1
        done = Restart(reason, old.turns, old.rss_mb, new.rss_mb, self._restarts.total(), self._errors)
        logger.info("%s", done.line())
        if self._on_restart is not None:
            self._on_restart(done)

    def _retire(self, process: ClaudeProcess) -> None:
        self._limits.pop(process, None)

        async def retire() -> None:
            await process.close()
            self._alive.discard(process)

        self._spawn(retire())

    async def _watch(self) -> None:
        """Look at life, memory and idle time, for ever."""
        while True:
            try:
                await self._look()
            except Exception:
                logger.exception("The watch over Claude's processes stumbled")
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self) -> None:
        process = self._warm.get(self._profile)
        if process is None:
            if self._retry_at is not None and time.monotonic() >= self._retry_at and not self._launches:
                self._retry_at = None
                self._spawn(self._prepare(self._profile))
            return
        await process.measure()
        self._own_rss_mb = await asyncio.to_thread(own_rss_mb)
        limits = self._limits.get(process)
        if process is self._busy or limits is None or self._warm.get(process.profile) is not process:
            return
        if not process.is_usable:
            self._replace(process, str(process.defect))
        elif process.rss_mb > limits.rss_mb:
            self._replace(process, "rss")
        elif process.turns and time.monotonic() - process.last_used > limits.idle_seconds:
            self._replace(process, "idle")

    def _settle(self) -> None:
        """Publish the state that follows from what there is."""
        if self._is_closed:
            return
        process = self._warm.get(self._profile)
        if self._busy is not None:
            self._set("busy")
        elif self._replacing:
            self._set("recycling", ", ".join(sorted(str(p.defect or "limit") for p in self._replacing)))
        elif process is not None and process.is_usable:
            self._set("idle")
        elif self._retry_at is None:
            self._set("starting")

    def _set(self, state: State, reason: str = "") -> None:
        if (state, reason) != (self._state, self._reason):
            self._state, self._reason, self._since = state, reason, time.time()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _starting(self, work: Coroutine[Any, Any, ClaudeProcess]) -> asyncio.Task[ClaudeProcess]:
        task = self._spawn(work)
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, TurnFailed):
            logger.error("A task beside Claude's turns failed", exc_info=error)
