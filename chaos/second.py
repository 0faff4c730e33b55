"""A second machine on the Redis of the first: an API and a worker with a data dir and a clock of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from chaos.stack import READY_SECONDS, ROOT, free_port
from chaos.until import wait_until
from ops.supervisor import redis_server
from ops.supervisor.probe import listens
from simulator.client import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.clocks import MachineClock
    from chaos.stack import Stack

#: an end that was asked for, seconds
_STOP_SECONDS = 20.0
#: how often, and how long, a part that ended is started again while Redis is away, seconds
_AGAIN_SECONDS = 0.5


class SecondMachine:
    """`start`, then `tend` now and then: a part that ended is started again. `stop` ends it all."""

    def __init__(self, first: Stack, clock: MachineClock) -> None:
        self._first = first
        self._clock = clock
        self.data_dir = first.directory / "second"
        self.port = free_port()
        self._simulator_port = free_port()
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._next_start = 0.0

    @property
    def simulator(self) -> SimulatorControl:
        """Its own: that of the first machine gets another port at each start."""
        return SimulatorControl(f"http://127.0.0.1:{self._simulator_port}")

    def start(self) -> None:
        """All of its parts."""
        argv = [sys.executable, "-m", "simulator", "--host", "127.0.0.1", "--port", str(self._simulator_port)]
        self._launch("simulator", argv)
        self.tend()
        wait_until(lambda: listens("127.0.0.1", self.port), "the second machine's API", READY_SECONDS)

    def tend(self) -> None:
        """Start what has ended, as a service manager would."""
        if time.monotonic() < self._next_start:
            return
        self._next_start = time.monotonic() + _AGAIN_SECONDS
        for part, options in (("api", ["--port", str(self.port)]), ("worker", ["--count", "1"])):
            process = self._parts.get(part)
            if process is None or process.poll() is not None:
                command = [sys.executable, "-m", "ops.cli.main", part, *options, "--data-dir", str(self.data_dir)]
                self._launch(part, command)

    def settle(self, ending: Sequence[psutil.Process]) -> None:
        """All of its parts run, once those that were asked to end have ended: they would be found running now."""
        psutil.wait_procs(ending, _STOP_SECONDS)
        self._next_start = 0.0
        self.tend()
        wait_until(lambda: listens("127.0.0.1", self.port), "the second machine's API", READY_SECONDS)

    def supervisors(self) -> list[psutil.Process]:
        """The processes that run the maintenance of this machine."""
        living = [process for part, process in self._parts.items() if part != "simulator" and process.poll() is None]
        return [psutil.Process(process.pid) for process in living]

    def processes(self) -> list[psutil.Process]:
        """All of them, without the simulator."""
        found = self.supervisors()
        for process in list(found):
            with suppress(psutil.Error):
                found += process.children(recursive=True)
        return found

    def stop(self) -> None:
        """Everything, the simulator last."""
        for process in self._parts.values():
            if process.poll() is None and process is not self._parts.get("simulator"):
                process.terminate()
        for part, process in reversed(self._parts.items()):
            if part == "simulator":
                process.terminate()
            process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """At once, whatever state it is in."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        for part in self._parts.values():
            part.kill()
            part.wait()

    def _launch(self, part: str, argv: list[str]) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        env = {**kept, "HOME": str(self._first.directory), **self._first.settings, **self._clock.environment(str(ROOT))}
        env |= {
            "REDIS_URL": redis_server.place(self._first.data_dir).url,
            "NIGHTSHIFT_OFFLINE": "1",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self._simulator_port}",
        }
        with self._first.log.open("ab") as log:
            self._parts[part] = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
            )
