"""One turn at a time on warm Claude processes, and the state that follows from them.

Runs on the invoker's event loop alone, so nothing here needs a lock. A turn waits for what goes on beside it (a wipe, a
launch) only when it cannot do without.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from app import clock
from app.login import login_in_use
from app.messages.failure import FailureKind, TurnFailed
from app.recycle_reason import RecycleReason
from workers.claude.pool import Pool
from workers.claude.process import REFUSED_BODY
from workers.claude.profile import Prompt
from workers.claude.tasks import Tasks
from workers.claude.watch import Watch
from workers.engine import EngineStatus, Recycle, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.login import Login
    from app.messages.answer import Answer, Delta
    from app.settings import Settings
    from workers.claude.process import ClaudeProcess
    from workers.claude.profile import Profile

logger = logging.getLogger(__name__)
T = TypeVar("T")


def _is_bare(login: Login | None) -> bool:
    return login is None or login.allows_bare


class Keeper:
    """See the module. `ask` is called for one turn at a time."""

    def __init__(
        self, settings: Settings, work_dir: Path, profile: Profile, on_recycle: Callable[[Recycle], None] | None
    ) -> None:
        self._settings = settings
        self._on_recycle = on_recycle
        self._tasks = Tasks()
        first = profile.at_launch(is_bare=_is_bare(login_in_use(settings)))
        self._pool = Pool(settings, work_dir, first, self._tasks, on_change=self._settle, on_replaced=self._on_replaced)
        self._watch = Watch(self._pool, settings)
        self._preparing: asyncio.Task[None] | None = None
        self._interrupted = asyncio.Event()
        self._is_closed = False
        self._state: State = "starting"
        self._reason = ""
        self._since = clock.now()
        self._turns = 0
        self._errors = 0
        self._recycles: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to connect, and to keep watch."""
        self._tasks.spawn(self._watch.run())
        self._pool.prepare(self._pool.latest)

    async def ask(
        self,
        prompt: Prompt,
        profile: Profile,
        deadline: float,
        on_delta: Callable[[Delta], None] | None,
        *,
        body: str | None = None,
    ) -> Answer:
        """Run one turn until `deadline` (`time.monotonic()`), with `body` in place of the prompt's. Raises `TurnFailed`."""
        self._interrupted.clear()
        login = login_in_use(self._settings)
        is_bare = _is_bare(login)
        try:
            process = await self._ready(profile.at_launch(is_bare=is_bare), login, deadline)
            self._pool.busy = process
            self._turns += 1
            self._settle()
            try:
                if self._interrupted.is_set():
                    raise TurnFailed(FailureKind.INTERRUPTED, "The request was interrupted.")
                if body is None:
                    body = prompt.in_body(profile.system, is_bare=is_bare)
                return await process.ask(prompt, body, deadline, on_delta)
            finally:
                self._pool.busy = None
                self._preparing = self._tasks.spawn(self._after_turn(process))
        except TurnFailed as failure:
            self._errors += failure.kind.is_fault
            raise
        finally:
            self._settle()

    async def check_login(self, deadline: float) -> None:
        """A turn whose request the API refuses, with a 400 where the login works. Raises `TurnFailed`, and is not counted."""
        counts = self._turns, self._errors
        try:
            await self.ask(Prompt("Are you there?"), self._pool.latest, deadline, None, body=REFUSED_BODY)
        finally:
            self._turns, self._errors = counts

    def interrupt(self) -> None:
        """End the running turn, or the wait for a process to run it."""
        self._interrupted.set()
        if self._pool.busy is not None:
            self._pool.busy.interrupt()

    async def close(self) -> None:
        """End every process and wait for it."""
        self._is_closed = True
        self.interrupt()
        await self._pool.close()
        self._set("closed")

    def status(self) -> EngineStatus:
        """Safe to call from any thread: it only reads."""
        process = self._pool.busy or self._pool.current()
        login = login_in_use(self._settings) if process is None else process.login
        return EngineStatus(
            state=self._state,
            reason=self._reason,
            since=self._since,
            pid=process.pid if process and process.is_usable else None,
            turns=process.turns if process else 0,
            turns_total=self._turns,
            errors=self._errors,
            restarts=dict(self._recycles),
            rss_mb=round(sum(p.rss_mb for p in self._pool.alive()), 1),
            python_rss_mb=self._watch.own_rss_mb,
            cli_version=process.cli_version if process else None,
            login=login.kind if login else None,
        )

    async def _ready(self, profile: Profile, login: Login | None, deadline: float) -> ClaudeProcess:
        """A process that is empty and of this profile and login. Raises `TurnFailed`."""
        if self._preparing is not None:
            await self._first(self._preparing, deadline)
        found = self._pool.take(profile, login)
        if found is None and (other := self._pool.convertible(profile)) is not None:
            self._preparing = self._tasks.spawn(self._pool.convert(other, profile))
            await self._first(self._preparing, deadline)
            found = self._pool.take(profile, login)
        if found is not None:
            return found
        if self._pool.retry_at is not None and (wait := self._pool.retry_at - time.monotonic()) > 0:
            raise TurnFailed(FailureKind.UNAVAILABLE, self._pool.start_error, retry_after=wait)
        self._pool.latest = profile
        return await self._first(self._pool.launch(profile), deadline)

    async def _first(self, task: asyncio.Task[T], deadline: float) -> T:
        """The task's result; raises `TurnFailed` when an interrupt or the deadline comes first."""
        interrupt = asyncio.ensure_future(self._interrupted.wait())
        try:
            timeout = max(0.0, deadline - time.monotonic())
            await asyncio.wait([task, interrupt], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupt.cancel()
        if self._interrupted.is_set():
            raise TurnFailed(FailureKind.INTERRUPTED, "The request was interrupted.")
        if task.done():
            return task.result()
        raise TurnFailed(FailureKind.DEADLINE, "The request's deadline passed before Claude was ready.")

    async def _after_turn(self, process: ClaudeProcess) -> None:
        """Make ready for the next turn. The answer has been handed over already."""
        if self._is_closed:
            return
        try:
            await self._make_ready(process)
        except Exception:
            logger.exception("A process that could not be made ready is replaced")
            process.kill(RecycleReason.RESET_FAILED)
            self._pool.replace(process, RecycleReason.RESET_FAILED)

    async def _make_ready(self, process: ClaudeProcess) -> None:
        limits = self._pool.limits(process)
        if not self._pool.holds(process):
            self._pool.retire(process)
        elif self._settings.isolation == "process" and process.is_usable:
            self._pool.use_up(process)
        elif not await process.reset():
            self._pool.replace(process, str(process.defect))
        elif limits is not None and process.turns >= limits.turns:
            self._pool.replace(process, RecycleReason.TURNS)

    def _on_replaced(self, old: ClaudeProcess, new: ClaudeProcess | None, reason: str) -> None:
        """Count and log a replacement."""
        self._recycles[reason] += 1
        rss_after_mb = new.rss_mb if new else 0.0
        done = Recycle(reason, old.turns, old.rss_mb, rss_after_mb, self._recycles.total(), self._errors)
        logger.info("%s", done.line())
        if self._on_recycle is not None:
            self._on_recycle(done)

    def _settle(self) -> None:
        """Publish the state that follows from what there is."""
        if self._is_closed:
            return
        pool, process = self._pool, self._pool.current()
        if pool.busy is not None:
            self._set("busy")
        elif pool.replacing:
            self._set("recycling", ", ".join(sorted(str(p.defect or "limit") for p in pool.replacing)))
        elif process is not None and process.is_usable:
            self._set("idle")
        elif pool.retry_at is None:
            self._set("starting")
        else:
            self._set("unavailable", pool.start_error)

    def _set(self, state: State, reason: str = "") -> None:
        if (state, reason) != (self._state, self._reason):
            self._state, self._reason, self._since = state, reason, clock.now()
