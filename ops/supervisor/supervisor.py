"""Keeps processes running, and ends them all: in stages, the last started first, within ten seconds."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from ops.supervisor import orphans, rolling
from ops.supervisor.errors import StackError, Stopped
from ops.supervisor.forks import ForkServer
from ops.supervisor.hooks import Periodic
from ops.supervisor.process import ProcessSpec, Running, backoff
from ops.supervisor.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from ops.supervisor.pidfile import Record

log = logging.getLogger(__name__)

#: everything has ended after it, seconds
STOP_SECONDS = 9.5
#: kept for each earlier stage while a later one is being stopped, seconds
_STAGE_RESERVE_SECONDS = 1.2
_READY_POLL_SECONDS = 0.05
_UNTIL_POLL_SECONDS = 0.25
_REPORT_SECONDS = 5.0


class Supervisor:
    """`with Supervisor() as s: s.start([...]); s.start([...]); s.wait()`. Main thread only.

    Each `start` is a stage: its processes start together and are waited for; stages are stopped in reverse. At the end
    of `with`, however it is reached, nothing of it runs any more.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None, record: Record | None = None) -> None:
        self._say = say
        self._record = record
        self._signals = Signals()
        self._stages: list[list[Running]] = []
        #: when to start what again: (time, stage, spec, failures)
        self._again: list[tuple[float, list[Running], ProcessSpec, int]] = []
        self._periodic: list[Periodic] = []
        self._hooks: list[threading.Thread] = []
        #: children that somebody else in this process has started
        self._others: frozenset[int] = frozenset()
        self._fork_server = ForkServer()

    def __enter__(self) -> Supervisor:
        self._signals.__enter__()
        self._others = orphans.children()
        orphans.adopt()
        if self._record:
            self._record.end_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._stop_all()
        finally:
            orphans.adopt(on=False)
            self._signals.__exit__(kind, error, traceback)

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start a stage and wait until all of it is ready.

        Raises `StackError` when a process ends or takes too long before it is ready, `Stopped` when a signal came.
        """
        stage: list[Running] = []
        self._stages.append(stage)
        self._fork_server.prepare(specs)
        # What is to be forked comes last: until then the others begin.
        for spec in sorted(specs, key=lambda spec: bool(spec.preload)):
            if spec.preload:
                self._wait_for_fork_server()
            self.launch(stage, spec)
        try:
            self._wait_ready(stage)
        except StackError:
            stage[:] = [running for running in stage if running.ended() is None]
            raise

    def every(self, seconds: float, work: Callable[[], object], name: str) -> None:
        """Call `work` so often, in a thread, until the stop."""
        self._periodic.append(Periodic(name, seconds, work))

    def knows(self, pid: int) -> None:
        """A child of this process that is nobody's orphan, though the supervisor did not start it, and ends by itself."""
        self._others |= {pid}

    def wait(self, until: Callable[[], bool] | None = None, seconds: float = float("inf")) -> bool:
        """Keep everything running until a signal asks to stop; then False. True: `until` came true. False: time is up."""
        give_up = time.monotonic() + seconds
        next_look = 0.0 if until else float("inf")
        while not self._signals.stops and time.monotonic() < give_up:
            if until and time.monotonic() >= next_look:
                if until():
                    return True
                next_look = time.monotonic() + _UNTIL_POLL_SECONDS
            if self._signals.take_restart():
                rolling.roll(self, self._stages, self._say)
                continue  # a stop that came meanwhile has had its wake-up
            self._tend()
            leaving = [r.stop_at or r.kill_at or give_up for stage in self._stages for r in stage]
            due = min([give_up, next_look, *leaving, self._fork_server.due, *(when for when, *_ in self._again)])
            if self._fork_server.is_starting:
                due = time.monotonic() + _READY_POLL_SECONDS  # what is to be started again may wait for it
            self._signals.wait(min(due - time.monotonic(), 60.0))
        return False

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._signals.stops > 0

    def tend(self, seconds: float) -> None:
        """For `rolling`: look after all processes, then wait so long at most."""
        self._tend()
        self._signals.wait(seconds)

    def pids(self) -> dict[int, str]:
        """The processes that run now, by name."""
        found = {running.pid: running.spec.name for stage in self._stages for running in stage}
        return found | self._fork_server.pids()

    def load_anew(self) -> None:
        """From now on what is forked has the code that is on the disk now."""
        self._fork_server.replace()
        self._wait_for_fork_server()

    def _wait_for_fork_server(self) -> None:
        """Until it serves or has failed, or somebody asks to stop."""
        while self._fork_server.is_starting and not self._signals.stops:
            self.tend(_READY_POLL_SECONDS)

    def _wait_ready(self, stage: list[Running]) -> None:
        began, reported = time.monotonic(), time.monotonic()
        while waiting := [running for running in stage if not running.is_ready]:
            if self._signals.stops:
                raise Stopped
            for running in waiting:
                self._look_at_start(running, time.monotonic() - began)
            self._tend()
            if time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                self._say(f"waiting for {', '.join(r.spec.name for r in waiting)} ...")
            if any(not running.is_ready for running in stage):
                self._signals.wait(_READY_POLL_SECONDS)

    def _look_at_start(self, running: Running, seconds: float) -> None:
        spec = running.spec
        status = running.ended()
        if status is None and (spec.ready is None or spec.ready()):
            running.is_ready = True
        elif status is not None:
            raise StackError(f"{spec.name} ended with {_status(status)} before it was ready.{_reason(spec)}")
        elif seconds > spec.ready_seconds:
            raise StackError(f"{spec.name} was not ready within {spec.ready_seconds:.0f} s.{_reason(spec)}")

    def launch(self, stage: list[Running], spec: ProcessSpec, failures: int = 0) -> Running:
        """Start a process of a stage. Whoever does waits until it is ready, or says that it is."""
        forked = self._fork_server.fork(spec, self._others.union(self.pids()))
        running = Running(spec, forked, failures=failures) if forked else Running.start(spec, failures)
        stage.append(running)
        log.debug("started %s as process %d", spec.name, running.pid)
        if self._record:
            self._record.write(self.pids())
        return running

    def _tend(self) -> None:
        """Look for ended processes, and start again what is due."""
        self._fork_server.tend()
        for stage in self._stages:
            for running in list(stage):
                running.enforce_grace()
                status = running.ended()
                if status is not None and running.is_ready:
                    self._ended(stage, running, status)
        now = time.monotonic()
        later: list[tuple[float, list[Running], ProcessSpec, int]] = []
        due: list[tuple[float, list[Running], ProcessSpec, int]] = []
        for entry in self._again:
            is_due = entry[0] <= now and not (entry[2].preload and self._fork_server.is_starting)
            (due if is_due else later).append(entry)
        self._again = later
        for _, stage, spec, failures in due:
            self.launch(stage, spec, failures).is_ready = True  # nobody waits for it: it is watched like the rest

    def _ended(self, stage: list[Running], running: Running, status: int) -> None:
        """A process has ended: call its hook, end what it left, and schedule its successor."""
        stage.remove(running)
        spec = running.spec
        self._run_hook(running, status)
        if count := orphans.end(self._others.union(self.pids())):
            log.warning("%s left %d processes behind: ended", spec.name, count)
        if not spec.restart or running.is_draining or self._signals.stops:
            return
        failures = running.next_failures()
        delay = backoff(failures)
        log.warning(
            "%s (process %d) ended with %s; starting it again in %.1f s", spec.name, running.pid, _status(status), delay
        )
        successor = spec.renew(spec) if spec.renew else spec
        self._again.append((time.monotonic() + delay, stage, successor, failures))

    def _run_hook(self, running: Running, status: int) -> None:
        spec = running.spec
        if spec.on_exit is None:
            return
        hook = spec.on_exit

        def call() -> None:
            try:
                hook(spec, running.pid, status)
            except Exception:
                log.exception("what follows the end of %s failed", spec.name)

        self._hooks = [thread for thread in self._hooks if thread.is_alive()]
        thread = threading.Thread(target=call, name=f"after-{spec.name}", daemon=True)
        thread.start()
        self._hooks.append(thread)

    def _stop_all(self) -> None:
        give_up = time.monotonic() + STOP_SECONDS
        self._again.clear()
        self._fork_server.end()
        for periodic in self._periodic:
            periodic.stop(0)
        for index in reversed(range(len(self._stages))):
            self._stop_stage(self._stages[index], give_up - _STAGE_RESERVE_SECONDS * index)
            for thread in self._hooks:
                thread.join(max(0.0, min(1.0, give_up - _STAGE_RESERVE_SECONDS * index - time.monotonic())))
        orphans.end(self._others)
        if self._record:
            self._record.path.unlink(missing_ok=True)

    def _stop_stage(self, stage: list[Running], give_up: float) -> None:
        """Ask, wait, kill; kill sooner after a second Ctrl-C."""
        began = time.monotonic()
        for running in stage:
            running.ask_to_stop()
        while stage:
            for running in list(stage):
                status = running.ended()
                if status is not None:
                    stage.remove(running)
                    self._run_hook(running, status)
                elif self._overdue(running, began, give_up):
                    log.warning("%s (process %d) is killed: it has not stopped yet", running.spec.name, running.pid)
                    running.kill()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        running.process.wait(1)
            if stage:
                self._signals.wait(_READY_POLL_SECONDS)
        orphans.end(self._others.union(self.pids()))

    def _overdue(self, running: Running, began: float, give_up: float) -> bool:
        """After a second Ctrl-C only a process with a lock, which writes data, gets another moment."""
        now = time.monotonic()
        patience = running.spec.stop_seconds
        if self._signals.at_once:
            patience = min(patience, 1.0 if running.spec.lock else 0.0)
        return now > min(give_up, began + patience)


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _reason(spec: ProcessSpec) -> str:
    words = spec.last_words() if spec.last_words else ""
    return f" Its log ends with:\n{words}" if words else " The lines above say why."
