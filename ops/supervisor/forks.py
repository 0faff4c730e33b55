"""The fork server as the supervisor sees it: started with the first workers, watched, replaced on a restart.

It saves memory and time, and nothing depends on it: where it does not serve, a worker is started as any other process.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ops.supervisor import orphans
from ops.supervisor.fork_server import MOST_BYTES
from ops.supervisor.process import ProcessSpec, Running, backoff

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

log = logging.getLogger(__name__)

MODULE = "ops.supervisor.fork_server"
#: room for a worker's command line, bytes
_PADDING = "-" * 1024
#: importing takes two seconds, and many on a busy machine
_READY_SECONDS = 60.0
#: a fork takes milliseconds. The supervisor does nothing else meanwhile, and has to end within ten seconds when it is asked to.
_FORK_SECONDS = 3.0
#: fewer would share nothing
_WORTH_IT = 2


class Forked:
    """A child of this process that the fork server has made: what is used of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it lives."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 0  # as Popen says of a child that somebody else has asked for its status
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, seconds: float) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        give_up = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(str(self.pid), seconds)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Nothing when it has ended: its pid is another's by then."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """At most one at a time. For the thread that starts processes."""

    def __init__(self) -> None:
        #: what it is started with; None: nobody needs it
        self._spec: ProcessSpec | None = None
        self._running: Running | None = None
        self._control: socket.socket | None = None
        self._failures = 0
        #: when to start it again; None: it runs, or is given up until the next restart
        self._again: float | None = None

    def prepare(self, specs: Sequence[ProcessSpec]) -> None:
        """Start it, if some of these are to be forked."""
        wanted = [spec for spec in specs if spec.preload]
        if sys.platform == "linux" and self._spec is None and len(wanted) >= _WORTH_IT:
            modules = ",".join(dict.fromkeys(spec.preload for spec in wanted))
            self._spec = ProcessSpec(name="fork-server", argv=[modules], env=wanted[0].env)
            self._start()

    @property
    def is_starting(self) -> bool:
        """Whether what is to be forked had better wait for it. Never for long."""
        return self._running is not None and not self._running.is_ready

    @property
    def due(self) -> float:
        """When it is to be started again (monotonic); infinite while it is not."""
        return float("inf") if self._again is None else self._again

    def pids(self) -> dict[int, str]:
        """Its process, by name; none while there is none."""
        return {self._running.pid: self._running.spec.name} if self._running else {}

    def fork(self, spec: ProcessSpec, known: Collection[int]) -> Forked | None:
        """The process, forked; None: it has to be started. `known`: the children of this process that are to live on."""
        running, control = self._running, self._control
        if not running or not control or not running.is_ready or not spec.preload or spec.env != running.spec.env:
            return None
        order = json.dumps({"argv": list(spec.argv), "signal": int(spec.death_signal)})
        try:
            control.settimeout(_FORK_SECONDS)
            control.send(order.encode())
            said = json.loads(control.recv(MOST_BYTES))
        except (OSError, ValueError) as error:
            log.warning("the fork server does not answer (%s): %s is started without it", error, spec.name)
            self.end()
            self._start_later()
            # Whom it may have forked all the same would be a second one of that name.
            while orphans.end(known):
                pass
            return None
        if "pid" in said:
            return Forked(said["pid"])
        log.warning("%s is not forked (%s): it is started", spec.name, said["error"])
        return None

    def tend(self) -> None:
        """Look whether it serves, and start it again when it has ended."""
        if self._again is not None and time.monotonic() >= self._again:
            self._start()
        running = self._running
        if running is None:
            return
        status = running.ended()
        if status is None and not running.is_ready:
            running.is_ready = self._has_said_so()
            if not running.is_ready and time.monotonic() - running.started > _READY_SECONDS:
                running.kill()
        elif status is not None:
            was_ready, self._failures = running.is_ready, running.next_failures()
            self.end()
            if was_ready:
                log.warning("the fork server (process %d) ended with %d; starting it again", running.pid, status)
                self._start_later()
            else:
                log.warning("the fork server does not begin (%d): workers are started without it", status)

    def replace(self) -> None:
        """By one that loads its code anew."""
        self.end()
        if self._spec is not None:
            self._failures = 0
            self._start()

    def end(self) -> None:
        """What it has forked lives on."""
        self._again = None
        if self._running is not None:
            self._running.kill()
            with suppress(subprocess.TimeoutExpired):
                self._running.process.wait(1)
            self._running = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def _start(self) -> None:
        if (spec := self._spec) is None:
            return
        self._again = None
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [str(theirs.fileno()), str(os.getpid()), *spec.argv, _PADDING]
            argv = [sys.executable, "-P", "-m", MODULE, *words]
            started = ProcessSpec(name=spec.name, argv=argv, env=spec.env, pass_fds=[theirs.fileno()])
            self._running = Running.start(started, self._failures)

    def _start_later(self) -> None:
        self._again = time.monotonic() + backoff(self._failures)

    def _has_said_so(self) -> bool:
        if self._control is None:
            return False
        self._control.settimeout(0)
        with suppress(OSError):
            return bool(self._control.recv(MOST_BYTES))
        return False
