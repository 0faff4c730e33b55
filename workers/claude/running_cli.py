"""A Claude CLI from its launch to its end: watched, bounded in what it says, killed when in doubt, and its directory removed.

What it is asked in between is `process`. Everything here runs on the invoker's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.messages.failure import FailureKind, TurnFailed
from app.recycle_reason import RecycleReason
from workers.claude import cli, frugal
from workers.claude.environment import SDK_VARIABLES, surroundings
from workers.claude.private_dir import PrivateDir, kill_group
from workers.claude.watch import tree_rss_mb

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from app.login import Login
    from app.settings import Settings
    from workers.claude.profile import Profile

logger = logging.getLogger(__name__)

#: How long a start may take; half a second is usual, a cold disk takes many.
CONNECT_SECONDS = 60.0
#: How long a process has to leave on its own.
LEAVE_SECONDS = 3.0
#: Lines of the CLI's standard error that are kept for messages, and how much of each, characters.
STDERR_LINES = 20
STDERR_LINE_CHARACTERS = 2000
#: What the CLI may say from the start of a turn to the start of the next one, bytes. An answer of 128,000 tokens, each
#: in an event of its own, is some 30 MiB.
MAX_TURN_BYTES = 128 * 1024 * 1024


class RunningCli(ABC):
    """`start()`, and in the end `close()`. One that did anything unexpected is not mended: `is_usable` turns False."""

    def __init__(self, settings: Settings, login: Login | None, profile: Profile, work_dir: Path) -> None:
        self.profile = profile
        self.login = login
        self.pid: int | None = None
        self.cli_version: str | None = None
        #: resident memory of the tree when it was last measured, MiB
        self.rss_mb = 0.0
        self.last_used = time.monotonic()
        #: why this process can't be used again; None: it can
        self.defect: RecycleReason | None = None
        self._settings = settings
        self._work_dir = work_dir
        #: set at whatever a turn may wait for
        self._changed = asyncio.Event()
        #: nothing more is read of it
        self._is_over = False
        self._is_killed = False
        #: set when it was killed, when it is being closed, and when nothing more is read of it
        self._gone = asyncio.Event()
        self._bytes = 0
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._client: cli.ClaudeClient | None = None
        self._dir: PrivateDir | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it can take another turn: it has started, and nothing is wrong with it."""
        return self.defect is None and not self._is_over and self.pid is not None

    async def start(self) -> None:
        """Launch and connect. Raises `TurnFailed` (`unavailable`)."""
        self._dir = await asyncio.to_thread(PrivateDir, self._work_dir)
        around = surroundings(self._settings, self.login, self.profile, self._dir.path)
        if self._settings.memory == "frugal":
            around.variables.update(await asyncio.to_thread(frugal.variables, cli.bundled_cli()))
        program = self._dir.write_launcher(cli.bundled_cli(), [*around.variables, *SDK_VARIABLES])
        self._client = cli.ClaudeClient(
            self.profile,
            around,
            program=program,
            cwd=self._dir.cwd,
            on_stderr=self._on_stderr,
            on_stream=self._on_stream,
            on_bytes=self._on_bytes,
            on_end=self._end_group,
        )
        connecting = asyncio.ensure_future(self._client.connect())
        done, _ = await asyncio.wait([connecting], timeout=CONNECT_SECONDS)
        if not done:
            self._stderr.append(f"it was not ready after {CONNECT_SECONDS:g} s.")
            self.kill(RecycleReason.NOT_STARTED)
            connecting.cancel()
        try:
            said = await connecting
        except (Exception, asyncio.CancelledError) as error:
            await self.close()
            raise self._not_started(error) from error
        self.pid = self._dir.pid() or said.get("pid")
        self.cli_version = said.get("claude_code_version")
        self.last_used = time.monotonic()
        self._reader = asyncio.create_task(self._read())
        await self.measure()

    async def measure(self) -> None:
        """Bring `rss_mb` up to date; the last figure of a process that is gone is kept."""
        if (pid := self.pid) is None:
            # It starts, and may have done so before a look at nothing is back.
            return
        if rss_mb := await asyncio.to_thread(tree_rss_mb, pid):
            self.rss_mb = rss_mb
        elif self.is_usable:
            # Gone, although somebody holds its output open.
            self.kill(RecycleReason.DIED)

    def kill(self, defect: RecycleReason) -> None:
        """End the process and its group at once; never waits."""
        self.defect = self.defect or defect
        self._is_killed = True
        self._gone.set()
        self._end_group()
        if self._client is not None:
            self._client.abandon()
        self._changed.set()

    async def close(self) -> None:
        """End the process, wait for it, and remove its directory. Can be called twice."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.defect = self.defect or RecycleReason.CLOSED
        self._gone.set()
        if self._client is not None:
            leaving = asyncio.create_task(self._client.disconnect())
            done, _ = await asyncio.wait([leaving], timeout=LEAVE_SECONDS)
            if not done:
                self.kill(RecycleReason.CLOSED)
            with suppress(Exception):
                await leaving
        # What it started has its group.
        self._end_group()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._dir is not None:
            await asyncio.to_thread(self._dir.remove)

    def _end_group(self) -> None:
        pid = self.pid or (self._dir.pid() if self._dir else None)
        if pid is not None:
            kill_group(pid)

    @abstractmethod
    def _on_stream(self, event: dict[str, Any], uuid: str | None) -> None:
        """Take one event of the API's stream, as soon as it is read; `uuid`: of the user message that it belongs to."""

    @abstractmethod
    def _take(self, message: Any) -> None:
        """Take any other message of the SDK's."""

    def _connected(self) -> cli.ClaudeClient:
        if self._client is None:
            raise RuntimeError("start() comes first")
        return self._client

    async def _unless_gone(self, work: Coroutine[Any, Any, bool]) -> bool:
        """False when the process ends first: the SDK lets those wait who ask a process that is being closed."""
        doing, gone = asyncio.create_task(work), asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait([doing, gone], return_when=asyncio.FIRST_COMPLETED)
            return doing.done() and doing.result()
        finally:
            doing.cancel()
            gone.cancel()

    def _on_bytes(self, count: int) -> None:
        """So much more was said."""
        self._bytes += count
        if self._bytes > MAX_TURN_BYTES and not self._is_killed:
            self.kill(RecycleReason.GARBLED)

    def _on_stderr(self, line: str) -> None:
        self._on_bytes(len(line))
        self._stderr.append(line[:STDERR_LINE_CHARACTERS])

    async def _read(self) -> None:
        """Take every message for the process' whole life, so that its end is noticed when it happens."""
        try:
            async for message in self._connected().messages():
                self._take(message)
        except cli.CLIJSONDecodeError:
            self.kill(RecycleReason.GARBLED)
        except Exception as error:  # noqa: BLE001 - any end of the stream is the end of the process
            logger.debug("Claude ended: %s", type(error).__name__)
        finally:
            self._is_over = True
            self.defect = self.defect or RecycleReason.DIED
            self._gone.set()
            self._changed.set()

    def _not_started(self, error: BaseException) -> TurnFailed:
        said = " ".join(self._stderr).strip()[-2000:] or str(error) or type(error).__name__
        return TurnFailed(FailureKind.UNAVAILABLE, f"Claude could not be started: {said}")
