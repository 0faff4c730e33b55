"""Carries the faults out, and starts the supervisor again after it was killed."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import threading
import time
from collections import Counter
from http.client import HTTPException
from typing import TYPE_CHECKING

import psutil

from chaos import clocks
from chaos.faults import BAD, CUT, JUMP, Fault, drawn
from chaos.stack import command_of
from chaos.until import PATIENCE_SECONDS

if TYPE_CHECKING:
    from chaos.ledger import Ledger
    from chaos.machines import Machines
    from chaos.wires import Wires

#: by what stands in the command line
_COMMANDS = {
    "worker": ("workers.chat_worker",),
    "callbacks": ("workers.callback_worker",),
    "lane": ("workers.lane",),
    "fork server": ("ops.supervisor.fork_server",),
    "api": ("api.server",),
    "claude": ("_bundled/claude",),
    "redis": ("redis-server", "valkey-server"),
}
#: how often a start is tried that other faults may hit
_STARTS = 3


class Killer:
    """`run` until the time is up, then `heal`."""

    def __init__(self, machines: Machines, wires: Wires, ledger: Ledger, *, seed: int, sleep_seconds: float) -> None:
        self.times: Counter[str] = Counter()
        self._stack = machines.first
        self._second = machines.second
        self._clocks = machines.clocks
        self._login = machines.login
        self._wires = wires
        self._ledger = ledger
        self._faults = drawn(seed)
        self._sleep_seconds = sleep_seconds
        self._asleep: list[tuple[threading.Timer, psutil.Process]] = []
        #: parts of the second machine that were killed, or asked to end: it takes a moment
        self._ending: list[psutil.Process] = []

    def run(self, seconds: float, at_least: int = 0) -> None:
        """Fault after fault, for so long and until so many were tried: a slow machine does fewer in the time."""
        end = time.monotonic() + seconds
        for tried in itertools.count():
            if time.monotonic() >= end and tried >= at_least:
                return
            fault = next(self._faults)
            self._second.tend()
            time.sleep(fault.wait_seconds)
            if self._do(fault):
                self.times[fault.name] += 1
                self._ledger.note(fault.name)

    def heal(self) -> None:
        """Wake all that sleeps, and set all clocks right; both machines run after this."""
        self.wake()
        self._login.come_back()
        for clock in self._clocks:
            clock.set(0.0)
        self._settle()
        self._second.settle(self._ending)

    def _settle(self) -> None:
        """Until the first machine has started for good: where a part is hit before all are ready, `up` ends, which takes a moment.

        That a worker serves says too little: the other machine has some.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if not self._is_up():
                self._start_again()
            if self._has_started():
                return
            time.sleep(0.5)
        self._ledger.complain("the stack did not settle")

    def _has_started(self) -> bool:
        """Its supervisor has a row of its own when all parts are ready."""
        process = self._stack.process
        with contextlib.suppress(OSError, HTTPException, ValueError, KeyError, TypeError):
            rows = self._stack.http("GET", "/health", timeout=5).body["supervisors"]
            return process is not None and any(row["name"].endswith(f":{process.pid}") for row in rows)
        return False

    def wake(self) -> None:
        """Whoever still sleeps."""
        for timer, process in self._asleep:
            timer.cancel()
            _wake(process)

    def _do(self, fault: Fault) -> bool:
        if fault.signal == CUT:
            return self._wires.cut(fault.choice)
        if fault.signal == JUMP:
            self._ledger.note(f"clock of {clocks.jump(self._clocks, fault.choice)}")
            return True
        if fault.signal == BAD:
            return self._login.go_bad()
        if fault.target == "second machine":
            found = self._second.supervisors()
            if not found:
                return False
            hit = found[fault.choice % len(found)]
            self._ending += [hit] if fault.signal != "STOP" else []
            return self._send(hit, fault)
        if fault.target == "supervisor":
            return self._hit_supervisor(fault)
        found = sorted(self._processes(fault.target), key=lambda process: process.pid)
        return bool(found) and self._send(found[fault.choice % len(found)], fault)

    def _processes(self, target: str) -> list[psutil.Process]:
        names = _COMMANDS[target]
        found = [(process, command_of(process)) for process in self._stack.processes()]
        # A launcher has the name of what it is about to become, and is none yet.
        return [process for process, line in found if any(n in line for n in names) and "child.py" not in line]

    def _send(self, process: psutil.Process, fault: Fault) -> bool:
        try:
            process.send_signal(getattr(signal, f"SIG{fault.signal}"))
        except psutil.Error:
            return False
        if fault.signal == "STOP":
            timer = threading.Timer(self._sleep_seconds, _wake, (process,))
            timer.daemon = True
            timer.start()
            self._asleep.append((timer, process))
        return True

    def _hit_supervisor(self, fault: Fault) -> bool:
        process = self._stack.process
        if process is None or not self._is_up():
            self._start_again()
            return False
        if not self._send(psutil.Process(process.pid), fault):
            return False
        if fault.signal != "STOP":
            try:
                process.wait(self._sleep_seconds + 30)
            except subprocess.TimeoutExpired:
                self._ledger.complain(f"the supervisor outlived SIG{fault.signal}")
            self._start_again()
        return True

    def _is_up(self) -> bool:
        return self._stack.process is not None and self._stack.process.poll() is None

    def _start_again(self) -> None:
        for attempt in range(_STARTS):
            try:
                self._stack.start()
                return
            except AssertionError as error:
                if attempt == _STARTS - 1:
                    self._ledger.complain(f"the stack did not start again: {error}")
                if self._is_up():
                    return


def _wake(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGCONT)
