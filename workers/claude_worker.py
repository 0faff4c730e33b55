"""The RQ worker that holds the engines.

It is a `SimpleWorker`: a job runs in this process, where the engines live. It adds what a stock one does not have: a lease that
is renewed while a job runs, fenced steps in and out of it, patience with a Redis that is away, and a gate before the
queue. The methods that it overrides are held by tests/contract/test_rq.py, since RQ documents none of them.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from app import clock, durability, errors, logs
from app.connection import AWAY, connect_blocking, patiently
from app.gate import Cause
from app.jobs import tickets, transitions
from app.jobs.change import LeaseLost, Reason, Requeue
from app.jobs.record import interrupt_channel, outcome_key
from app.jobs.store import Jobs
from app.outcome import Outcome
from workers import run as runs
from workers.admission import Admission, Taken
from workers.beat import Beat
from workers.own_limits import OwnLimits
from workers.run import Ending, FanOut, Interruption, Publish, Run
from workers.start import PatientWorker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from redis import Redis
    from rq import Queue
    from rq.job import Job

    from app.jobs.change import Lease
    from app.jobs.transitions import Claimed
    from app.settings import Settings
    from workers.admission import Admitted
    from workers.engine_by_way import Engines

log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: how long an idle worker blocks on the queue before it looks around, seconds (RQ: worker_ttl - 15)
_IDLE_SECONDS = 5
_LOOK_SECONDS = 0.2
#: how long a worker stays with an answer that it has published, for the replicas to have it, seconds
REPLICATION_SECONDS = 60.0
#: within how much time the workers go on when the gate opens, seconds
_SPREAD_SECONDS = 1.0


class ClaudeWorker(PatientWorker):
    """Takes jobs from the one Claude queue, as long as the gate is open and Claude answers."""

    def __init__(self, name: str, connection: Redis, settings: Settings, engines: Engines) -> None:
        """`connection`: for short commands. RQ waits for the queue by one of its own."""
        waiting = connect_blocking(settings.redis_url or "")
        super().__init__(
            [tickets.queue(waiting)],
            name=name,
            connection=waiting,
            serializer=JSONSerializer,
            worker_ttl=_IDLE_SECONDS + 15,
            log_job_description=False,
        )
        # How RQ takes a ticket from the queue.
        self.queue_class = tickets.ClaudeQueue
        self._steps = connection
        self._settings = settings
        self._jobs = Jobs(connection, settings)
        self._limits = OwnLimits(name, settings, engines.ways)
        self._admission = Admission(name, connection, settings, engines, self._limits)
        self._is_draining = False
        self.beat = Beat(settings, name, engines, self._admission.works_by, self._limits)

    # -- taking a job ---------------------------------------------------------------------------------------------

    def check_for_suspension(self, burst: bool) -> None:  # noqa: ARG002 - RQ's signature
        """Before each look at the queue: wait while no job could be served. Never with a job in hand."""
        waited_for = ""
        while not self._stop_requested:
            reason = self._reason_to_wait()
            self.beat.waiting_for = reason
            if not reason:
                break
            waited_for = reason
            time.sleep(_LOOK_SECONDS)
        if waited_for in set(Cause):
            # Not all at once: what opened the gate may be scarce yet.
            time.sleep(random.uniform(0.0, _SPREAD_SECONDS))

    def _reason_to_wait(self) -> str:
        try:
            return self._admission.reason_to_wait()
        except AWAY:
            return "redis"

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Claim, run, settle. Nothing in here raises for what a job or Redis does."""
        taken = Taken(job.id, queue.name)
        try:
            claimed = self._patiently(lambda: self._admission.claim(taken))
            if claimed is not None and taken.admitted is not None:
                self.set_state(WorkerStatus.BUSY)
                with logs.about(**claimed.record.ids):
                    self._run(job, claimed, taken.admitted)
        finally:
            self._patiently(taken.end)
            self.set_state(WorkerStatus.IDLE)

    def _run(self, job: Job, claimed: Claimed, way: Admitted) -> None:
        lease, record, request = claimed
        run = Run(lease, record, self._jobs, way.probes, self._settings, way.engine, self._steps, request, self._limits)
        runs.begin(run)
        self.beat.hold(run)
        try:
            ending: Ending = job.perform()
        except AWAY as error:
            log.warning("[RECOVERY] job=%s reason=Redis went away before its turn: %s", record.id, error)
            ending = Requeue(Reason.REDIS_AWAY, counts=False)
        except Exception:
            log.exception("job %s failed inside Nightshift", record.id)
            ending = Publish(Outcome(error=errors.internal()))
        except BaseException:
            # A second signal: the turn must not go on behind our back.
            runs.interrupt(Interruption.STOPPING)
            runs.end()
            self._settle(run, Requeue(Reason.WORKER_STOPPED, counts=False))
            raise
        runs.end()
        self._settle(run, ending)
        self.beat.release()
        _log(run, ending)

    def _settle(self, run: Run, ending: Ending) -> None:
        try:
            if run.interruption is Interruption.CANCELLED:
                # Usually done already by who asked for it; not when the request came by RQ's own stop command.
                for job_id in dict.fromkeys((run.record.public_id, run.record.id)):
                    self._patiently(partial(self._jobs.cancel, job_id))
            elif isinstance(ending, Publish):
                give_up = time.monotonic() + REPLICATION_SECONDS
                self._patiently(lambda: self._publish(run.lease, ending.outcome, give_up))
            elif isinstance(ending, FanOut):
                self._patiently(lambda: transitions.fan_out(self._steps, self._settings, run.lease, ending.choices))
            else:
                self._patiently(lambda: transitions.requeue(self._steps, self._settings, run.lease, ending))
        except LeaseLost as lost:
            log.warning("[RECOVERY] job=%s worker=%s reason=result dropped: %s", run.record.id, self.name, lost)

    def _publish(self, lease: Lease, outcome: Outcome, give_up: float) -> None:
        """Until it is on as many replicas as it should be: a failover that lost it is answered by publishing it again."""
        transitions.publish(self._steps, self._settings, lease, outcome)
        try:
            durability.confirm(self._steps, outcome_key(lease.job_id), self._settings.wait_replicas)
        except durability.NotReplicatedError as error:
            if time.monotonic() < give_up:
                raise
            log.warning("[RECOVERY] job=%s reason=published, and %s", lease.job_id, error)

    def _patiently(self, step: Callable[[], _T]) -> _T:
        """Do a step in Redis; while Redis is away, wait for it. An answer is not thrown away for that."""
        said = "[RECOVERY] worker=%s reason=waiting for Redis: %s"
        return patiently(step, on_away=lambda error: log.warning(said, self.name, error))

    # -- commands and signals ---------------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """RQ's command channel, and ours beside it on the same thread."""
        super().subscribe()  # type: ignore[no-untyped-call]
        if self.pubsub is not None:
            self.pubsub.subscribe(**{interrupt_channel(self.name): self._on_interrupt})

    def _on_interrupt(self, message: dict[str, Any]) -> None:
        runs.interrupt(Interruption.CANCELLED, message["data"].decode())

    def kill_horse(self, sig: Any = None) -> None:  # noqa: ARG002 - RQ's signature
        """RQ's stop commands end here; there is no horse, the turn is interrupted. Called from the pubsub thread."""
        runs.interrupt(Interruption.CANCELLED)

    def _pubsub_exception_handler(self, exc: Exception, *_: Any) -> None:
        """Whatever happens to the connection, the thread stays and connects again."""
        log.warning("worker %s: command channel: %s", self.name, exc)
        time.sleep(1.0)

    def _install_signal_handlers(self) -> None:
        """RQ's, and SIGUSR2: another has taken this worker's place, and its turn may take the time it needs."""
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGUSR2, self._drain)

    def _drain(self, number: int, frame: FrameType | None) -> None:
        self._is_draining = True
        self.request_stop(number, frame)  # type: ignore[no-untyped-call]

    def handle_warm_shutdown_request(self) -> None:
        """First SIGTERM: the job gets some seconds to finish, then its turn is interrupted and it is requeued."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        if self._is_draining:
            return
        timer = threading.Timer(self._settings.stop_grace_seconds, runs.interrupt, (Interruption.STOPPING,))
        timer.daemon = True
        timer.start()

    # -- what the beat does instead -------------------------------------------------------------------------------

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:  # noqa: ARG002 - RQ's signature
        """RQ beats several times a job and only between jobs, or while it waits for one; `Beat` does it evenly.

        So this is where a worker for whom nothing comes looks around.
        """
        self._admission.end_idle()

    def set_state(self, state: str, pipeline: Any = None) -> None:  # noqa: ARG002 - RQ's signature
        """For rq-dashboard; written by the beat, at once only when it costs nothing."""
        self._state = state
        self.beat.rq_state = state

    def run_maintenance_tasks(self) -> None:
        """RQ's own recovery would fail jobs that ours brings back (`app.jobs.recovery`)."""
        self.last_cleaned_at = None

    def register_birth(self) -> None:
        """Register, and start to beat. A name is never used twice, so that a dead worker's name can't be in the way."""
        super().register_birth()  # type: ignore[no-untyped-call]
        self.beat.start()

    def register_death(self) -> None:
        """Stop beating first, or the row would come back."""
        self.beat.stop()
        super().register_death()  # type: ignore[no-untyped-call]


def _log(run: Run, ending: Ending) -> None:
    """One line a run: how it ended, never what was asked or answered. Nights are long: a batch line that went well is quiet."""
    level = logging.INFO
    if run.interruption is not None:
        ended = str(run.interruption)
    elif isinstance(ending, Requeue):
        ended = f"requeued: {ending.reason}"
    elif isinstance(ending, FanOut):
        ended = f"waits for its {ending.choices} choices"
    else:
        error = ending.outcome.error
        ended = "completed" if error is None else f"failed: {error.cause} (HTTP {error.status})"
        if error is None and "batch_id" in run.record.ids:
            level = logging.DEBUG
    seconds = round(clock.now() - (run.record.started_at or clock.now()), 3)
    about = {"attempt": run.record.attempts, "seconds": seconds, "way": run.engine.way}
    log.log(level, "[JOB] %s", ended, extra=about)
