"""A process as the supervisor sees it: what to start, and the one that runs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.supervisor import child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ops.supervisor.forks import Forked

#: first wait before a process is started again, seconds; doubled each time, up to the cap, and jittered
BACKOFF_SECONDS = 0.25
BACKOFF_CAP_SECONDS = 15.0
#: a process that was up for this long starts again with the first wait, seconds
STABLE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """What to start, and how to live with it."""

    #: in progress lines and in the log
    name: str
    argv: Sequence[str]
    #: the whole environment: nothing is added
    env: Mapping[str, str]
    #: for `on_exit`: which one of the name's processes this is, e.g. the RQ worker's name
    identity: str = ""
    #: asked every 50 ms at the start until it says yes; None: it is ready at once
    ready: Callable[[], bool] | None = None
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    #: from the stop signal to SIGKILL, seconds
    stop_seconds: float = 6.0
    #: what the kernel sends it when the supervisor is killed (Linux)
    death_signal: signal.Signals = signal.SIGKILL
    #: an exclusive lock that it holds while it lives
    lock: Path | None = None
    #: called in a thread at every end, asked for or not; its exceptions are logged
    on_exit: Callable[[ProcessSpec, int, int], None] | None = None
    #: whether it is started again when it ends by itself
    restart: bool = True
    #: what to start the next time, where that is not the same again, e.g. under a new worker name
    renew: Callable[[ProcessSpec], ProcessSpec] | None = None
    #: why it did not start, for the message: its log's end
    last_words: Callable[[], str] | None = None
    #: open files that it inherits
    pass_fds: Sequence[int] = ()
    #: for a `python -P -m module ...`: a module that imports what it needs. It may be forked from a process that has done so (`forks`)
    preload: str = ""
    #: on a restart: asks it to drain, which is to finish its work and end; None: it is left alone
    drain_signal: signal.Signals | None = None
    #: how long it may drain before it is asked to stop, seconds
    drain_seconds: float = 600.0
    #: whether others are replaced while it drains
    drains_alone: bool = False
    #: asked of its successor: whether it does what it is for. None: it does at once
    is_serving: Callable[[], bool] | None = None


@dataclass
class Running:
    """A started process, with what is needed to start it again."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes] | Forked
    started: float = field(default_factory=time.monotonic)
    #: restarts in a row that did not last
    failures: int = 0
    is_ready: bool = False
    #: another has taken its place: its end is no reason to start it again
    is_draining: bool = False
    #: when it is asked to stop, and when it is killed, since it still drains (monotonic); None: nobody has asked it to drain
    stop_at: float | None = None
    kill_at: float | None = None

    @classmethod
    def start(cls, spec: ProcessSpec, failures: int = 0) -> Running:
        """Start it, in a session of its own: the terminal's Ctrl-C reaches the supervisor only.

        Must be called from a thread that lives as long as the supervisor, see `child.py`.
        """
        lock = str(spec.lock) if spec.lock else None
        command = child.command(spec.argv, signal=spec.death_signal, lock=lock)
        process = subprocess.Popen(
            command, env=dict(spec.env), stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=spec.pass_fds
        )
        return cls(spec, process, failures=failures)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self.process.pid

    def ended(self) -> int | None:
        """The exit status (negative: the signal) once it has ended; its group is killed with it. None: it lives."""
        status = self.process.poll()
        if status is not None:
            self.kill()
        return status

    def ask_to_stop(self) -> None:
        """The gentle signal, to the process alone: it knows how to end its own children."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.spec.stop_signal)

    def ask_to_drain(self) -> None:
        """On a restart: it finishes the work that it has."""
        self.stop_at = time.monotonic() + self.spec.drain_seconds
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.spec.drain_signal or self.spec.stop_signal)

    def enforce_grace(self) -> None:
        """Ask it to stop, and then kill it, if it drains for longer than it may. Call it now and then."""
        now = time.monotonic()
        if self.stop_at is not None and now > self.stop_at:
            self.stop_at, self.kill_at = None, now + self.spec.stop_seconds
            self.ask_to_stop()
        elif self.kill_at is not None and now > self.kill_at:
            self.kill()

    def kill(self) -> None:
        """The whole group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def next_failures(self) -> int:
        """How many failures in a row the next start has behind it."""
        return 0 if time.monotonic() - self.started > STABLE_SECONDS else self.failures + 1


def backoff(failures: int) -> float:
    """How long to wait after that many failures in a row, seconds; half of it is random."""
    whole = (
        min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16)) if failures > 0 else BACKOFF_SECONDS
    )
    return whole * random.uniform(0.5, 1.0)
