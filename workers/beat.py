"""The worker's heartbeat: a thread that renews the lease of the running job and reports what the worker does.

It beats while the main thread waits for Claude or for the queue. When the lease is lost it interrupts the run, whose answer
may not be published any more.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

from rq.utils import now, utcformat

from app import clock, worker_status
from app.connection import AWAY, connect
from app.gate import Cause, read_closings
from app.jobs import transitions
from app.worker_status import WorkerState, WorkerStatus
from workers import run as runs
from workers.own_limits import OwnLimits
from workers.run import Interruption, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.settings import Settings
    from app.ways import Way
    from workers.engine_by_way import Engines

log = logging.getLogger(__name__)

#: why a worker takes no job while it has no Claude that can serve
FOR_CLAUDE = "claude"
#: RQ takes a worker for gone when its key has expired, seconds
_RQ_KEY_SECONDS = 60


class Beat:
    """One thread. The worker sets the attributes; they are read at each beat."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        engines: Engines,
        works_by: Callable[[Way], bool] = lambda _: True,
        limits: OwnLimits | None = None,
    ) -> None:
        """`works_by`: whether the worker can use a way, for all that it knows. `limits`: its logins', kept up to date here."""
        #: why the worker takes no job; it has not looked around yet
        self.waiting_for = FOR_CLAUDE
        self.rq_state = "starting"
        # A command without a reply is repeated before the lease ends: by default after 2.5 s, three times.
        connection = connect(settings.redis_url or "", timeout_seconds=settings.lease_seconds / 4)
        self._connection = connection
        self._settings = settings
        self._name = name
        self._engines = engines
        self._works_by = works_by
        self._version = version("claude-nightshift")
        self._limits = limits or OwnLimits(name, settings, engines.ways)
        #: what it went last
        self._way = engines.ways[0]
        self._started_at = clock.now()
        self._run: Run | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat; the first beat comes before this returns."""
        self._beat()
        self._thread = threading.Thread(target=self._beat_on, name="beat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the row away."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._settings.beat_seconds + 6)
        try:
            worker_status.remove(self._connection, self._name)
        except AWAY as error:
            log.warning("worker %s: its row stays until it expires: %s", self._name, error)

    def hold(self, run: Run) -> None:
        """A run has begun: its lease is renewed until `release`."""
        self._run = run

    def release(self) -> None:
        """The run has ended."""
        self._run = None

    def _beat_on(self) -> None:
        while not self._stopping.wait(self._settings.beat_seconds):
            try:
                self._beat()
            except AWAY as error:
                log.warning("worker %s: no beat: %s", self._name, error)
            except Exception:
                log.exception("worker %s: no beat", self._name)

    def _beat(self) -> None:
        clock.sync(self._connection)
        run = self._run
        # `run` may end between the two lines: then its lease is gone by right, and `interrupt` finds no such job.
        if run is not None and not transitions.renew(self._connection, run.lease, self._settings.lease_seconds):
            runs.interrupt(Interruption.LEASE_LOST, run.record.id)
        key = f"rq:worker:{self._name}"
        pipe = self._connection.pipeline(transaction=False)
        pipe.hset(key, mapping={"state": self.rq_state, "last_heartbeat": utcformat(now())})
        pipe.expire(key, _RQ_KEY_SECONDS)
        pipe.execute()
        self._limits.refresh(self._connection, self._works_by)
        worker_status.write(self._connection, self._status(run))

    def _status(self, run: Run | None) -> WorkerStatus:
        if run is not None:
            self._way = run.engine.way
        elif self._way not in dict(self._engines.made()):
            self._way = self._engines.ways[0]
        found = self._engines.status(self._way)
        waiting_for = self.waiting_for or ("" if run else self._closed_by())
        state = _WAITING_STATES.get(waiting_for)
        if state is None:
            state = WorkerState.BUSY if run else _STATES.get(found.state, WorkerState.UNAVAILABLE)
            if waiting_for == FOR_CLAUDE and state.is_serving:
                # Its Claude is there, and whether its login works is not known yet.
                state = WorkerState.STARTING
        return WorkerStatus(
            name=self._name,
            state=state,
            reason=found.reason if waiting_for == FOR_CLAUDE else waiting_for or found.reason,
            job=run.record.public_id if run else "",
            job_started_at=(run.record.started_at or 0.0) if run else 0.0,
            turns=found.turns,
            turns_total=found.turns_total,
            restarts=dict(found.restarts),
            errors=found.errors,
            rss_mb=found.rss_mb,
            python_rss_mb=found.python_rss_mb,
            cli_version=found.cli_version or "",
            login=found.login or "",
            login_label=self._limits.label(self._way),
            login_labels=self._limits.labels(),
            host=socket.gethostname(),
            version=self._version,
            way=self._way,
            ways=",".join(way for way in self._engines.ways if self._works_by(way)),
            pid=os.getpid(),
            started_at=self._started_at,
            clock_skew_seconds=round(clock.skew() or 0.0, 3),
        )

    def _closed_by(self) -> str:
        """A worker that blocks on an empty queue has not met the gate yet."""
        closed = self._limits.merged(read_closings(self._connection)).holding_all(self._engines.ways)
        return closed.cause if closed is not None and not closed.may_be_probed else ""


_WAITING_STATES: dict[str, WorkerState] = {
    Cause.USAGE_LIMIT: WorkerState.LIMITED,
    Cause.UTILIZATION: WorkerState.LIMITED,
    Cause.OVERLOAD: WorkerState.LIMITED,
    Cause.RATE_LIMIT: WorkerState.LIMITED,
    Cause.SPENDING: WorkerState.LIMITED,
    Cause.LOGIN: WorkerState.WAITING_FOR_LOGIN,
    Cause.PAUSED: WorkerState.PAUSED,
}
_STATES: dict[str, WorkerState] = {str(state): state for state in WorkerState}
