"""`ClaudeInvoker`: blocking calls on the outside, one event loop in one thread on the inside."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

from app.messages.failure import FailureKind, TurnFailed
from app.settings import Settings
from workers.claude.keeper import Keeper
from workers.claude.private_dir import end_leftovers
from workers.claude.profile import Profile, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from pathlib import Path

    from app.messages.answer import Answer, Delta
    from workers.engine import EngineStatus, Recycle

T = TypeVar("T")

#: Longest that `close` waits for Claude's processes to end, seconds.
CLOSE_SECONDS = 30.0
#: A year, where no limit is given: the event loop's clock takes no infinity.
NO_LIMIT_SECONDS = 365 * 86400.0


class ClaudeInvoker:
    """Claude, one question at a time.

    Owns an event loop in a daemon thread for its whole life; connecting, turns, wiping, interrupts and ends happen
    there. `ask` is for one thread at a time; `interrupt` and `status` are for any thread at any time. A Claude that
    cannot be started is tried again for ever; `status()` reports it meanwhile.

    >>> with ClaudeInvoker.from_environment() as claude:
    ...     print(claude.ask("Say hello").text)
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "claude",
        work_dir: Path | None = None,
        profile: Profile | None = None,
        on_recycle: Callable[[Recycle], None] | None = None,
    ) -> None:
        """`work_dir` holds the processes' private directories; `profile` is what the first process is started for.

        `on_recycle` is called from the event loop's thread and must not block.
        """
        folder = re.sub(r"[^A-Za-z0-9._-]", "-", name)
        self._work_dir = (work_dir or settings.data_dir / "claude" / folder).absolute()
        self._profile = profile or Profile()
        self._loop = asyncio.new_event_loop()
        # For what blocks: files, and looks at memory. Some milliseconds each; more threads would only take more memory.
        self._loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix=f"{name}-files"))
        self._keeper = Keeper(settings, self._work_dir, self._profile, on_recycle)
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{name}-loop", daemon=True)
        self._lock = threading.Lock()
        self._is_started = False
        self._is_closed = False

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """One for scripts: settings from the environment."""
        return cls(Settings.from_environment(**overrides))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """End what an earlier run left, and begin to connect; returns at once. A second call does nothing."""
        with self._lock:
            if self._is_started or self._is_closed:
                return
            self._is_started = True
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_leftovers(self._work_dir)
        self._thread.start()
        self._loop.call_soon_threadsafe(self._keeper.start)

    def ask(
        self,
        prompt: Prompt | str,
        profile: Profile | None = None,
        *,
        timeout_seconds: float | None = None,
        on_event: Callable[[Delta], None] | None = None,
    ) -> Answer:
        """Ask, and wait for the answer. Raises `TurnFailed`.

        `timeout_seconds` covers the wait for a process as well; None: no limit. `on_event` is called with each piece
        of text or of a call from the event loop's thread and must not block.
        """
        self.start()
        if isinstance(prompt, str):
            prompt = Prompt(prompt)
        until = time.monotonic() + (NO_LIMIT_SECONDS if timeout_seconds is None else timeout_seconds)
        return self._run(self._keeper.ask(prompt, profile or self._profile, until, on_event)).result()

    def check_login(self, *, timeout_seconds: float) -> TurnFailed | None:
        """Why a request would not reach a model, or None when it would: asked by one that the API refuses, and that costs nothing.

        For one thread at a time, as `ask`. `kind` is `login` when the login is refused; any other says nothing about it.
        """
        self.start()
        try:
            self._run(self._keeper.check_login(time.monotonic() + timeout_seconds)).result()
        except TurnFailed as failure:
            return None if failure.kind is FailureKind.CALLER else failure
        return None

    def interrupt(self) -> None:
        """End the running `ask`, which raises `interrupted` within two seconds; nothing happens when none runs."""
        if self._is_started and not self._is_closed:
            self._loop.call_soon_threadsafe(self._keeper.interrupt)

    def status(self) -> EngineStatus:
        """A snapshot; never waits."""
        return self._keeper.status()

    def is_ready(self) -> bool:
        """Whether a process is there to take a question, or as good as there."""
        return self.status().state in ("idle", "busy", "recycling")

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until a process is ready; False when that takes longer."""
        end = time.monotonic() + seconds
        while self.status().state != "idle":
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """End the running turn and every process, and wait for them. A second call does nothing."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._is_started:
            asyncio.run_coroutine_threadsafe(self._keeper.close(), self._loop).result(CLOSE_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._is_closed:
            work.close()
            raise TurnFailed(FailureKind.UNAVAILABLE, "This invoker is closed.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)
