"""Signals as something to wait for: the main thread sleeps until a child ends, somebody asks to stop, or time is up."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: not SIGHUP, which a terminal sends when it is closed
RESTART = signal.SIGUSR2


class Signals:
    """Installed by `with`, in the main thread; what was there before is put back."""

    def __init__(self) -> None:
        #: how often a stop was asked for
        self.stops = 0
        #: Ctrl-C again, while stopping: at once
        self.at_once = False
        self._restart = False
        self._read, self._write = socket.socketpair()
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Signals:
        for end in (self._read, self._write):
            end.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in STOP:
            # `nohup` starts us with SIGHUP ignored, which asks us to outlive the terminal.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._stop)
        self._before[RESTART] = signal.signal(RESTART, self._ask_restart)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._read.close()
        self._write.close()

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes or `wake` is called, at most that long."""
        if select.select([self._read], [], [], max(0.0, seconds))[0]:
            with contextlib.suppress(BlockingIOError):
                while self._read.recv(4096):
                    pass

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        with contextlib.suppress(OSError):
            self._write.send(b"\0")

    def take_restart(self) -> bool:
        """Whether a restart was asked for since the last call."""
        asked, self._restart = self._restart, False
        return asked

    def _ask_restart(self, *_: object) -> None:
        self._restart = True

    def _stop(self, number: int, _: object) -> None:
        self.at_once = self.at_once or (number == signal.SIGINT and self.stops > 0)
        self.stops += 1
