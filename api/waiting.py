"""A client waits for its job: until the outcome, its deadline, its own going away, or ours."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.listener import Listener
from api.outlook import TIMED, Outlook, too_late, why_held
from app import clock, errors
from app.connection import AWAY
from app.error_codes import ErrorCode
from app.jobs import transitions
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from redis import Redis

    from api.outlook import Held
    from app.errors import ErrorReply
    from app.jobs.record import JobRecord
    from app.jobs.store import Jobs
    from app.settings import Settings

#: how long a waiter sleeps before it looks at its deadline, its client and the stop flag, seconds
SLICE_SECONDS = 1.0
#: advice when all places are taken, seconds
BUSY_RETRY_SECONDS = 5.0
#: when this process stops, the jobs of its clients live on for this long: the clients are asked to come back, seconds
STOP_GRACE_SECONDS = 60.0
STOP_RETRY_SECONDS = 2.0
#: two deadlines this close are the same one, seconds
_SAME_SECONDS = 1.0


@dataclass(frozen=True)
class Wait:
    """One client's wait for one job."""

    record: JobRecord
    #: seconds since the epoch
    deadline_at: float
    #: what the client asked for, for the message when it was not enough
    timeout_seconds: float
    #: whether the client has hung up
    is_gone: Callable[[], bool]
    #: it only looks on at a job that has its own time
    only_reads: bool = False
    #: when the client will have hung up, by its own word; what is sure to take longer is said at once
    hangs_up_at: float = math.inf
    #: `time.monotonic()`: nobody is refused for what was found before
    began_at: float = field(default_factory=time.monotonic)
    #: the name by which it arrived (`Jobs.arrive`)
    waiter: str = ""

    @property
    def owns_job(self) -> bool:
        """Whether the job's time ends with this wait. A job that was joined may have longer, and others who wait."""
        return not self.only_reads and self.record.deadline_at <= self.deadline_at + _SAME_SECONDS

    @property
    def waits_until(self) -> float:
        """Later nobody is there to read an answer."""
        return min(self.deadline_at, self.hangs_up_at)

    def slice_seconds(self) -> float:
        """How long to sleep at most before `Waiting.look_around`."""
        return max(0.0, min(SLICE_SECONDS, self.deadline_at - clock.now()))


class Waiting:
    """All waits of this process. `with waiting.place:` takes one of the places, or raises 429 `too_many_waiting`."""

    def __init__(self, connection: Redis, settings: Settings, jobs: Jobs) -> None:
        self._connection = connection
        self._settings = settings
        self._jobs = jobs
        self._outlook = Outlook(connection, settings)
        self._is_stopped = False
        #: readers that only look on are asked to come back, and will reach another process
        self.is_draining = False
        self.listener = Listener(connection, settings.redis_url or "")
        self.place = _Places(settings.max_waiting)

    def stop(self) -> None:
        """Send all clients away within a second. Safe to call from a signal handler."""
        self._is_stopped = self.is_draining = True
        self.place.is_closed = True
        self.listener.stop()

    def wait(self, wait: Wait, heard: threading.Event | None = None) -> Outcome:
        """The job's outcome. Raises `ErrorReply` when the wait ends before the job does.

        `heard`: registered for the job since before there was one. Else it may have ended before we register: nobody would wake us for it.
        """
        job_id = wait.record.id
        event = self.listener.register(job_id) if heard is None else heard
        try:
            outcome = (self._jobs.outcome(job_id) if heard is None else None) or self.look_around(wait)
            while outcome is None:
                outcome = self._look_after_slice(wait, event)
            return outcome
        finally:
            self.listener.forget(job_id, event)

    def _look_after_slice(self, wait: Wait, event: threading.Event) -> Outcome | None:
        if event.wait(wait.slice_seconds()):
            event.clear()
            return self._jobs.outcome(wait.record.id)
        return self.look_around(wait)

    def look_around(self, wait: Wait, *, is_answering: bool = False) -> Outcome | None:
        """Whether the wait has to end although the job has not: the outcome that the client gets then. Raises `ErrorReply`.

        To be called each second. `is_answering`: the client reads the answer already, so that the gate is behind it.
        """
        if self._is_stopped:
            self._leave(wait, STOP_GRACE_SECONDS)
            raise _stopping()
        if wait.is_gone():
            self.leave(wait)
            raise errors.client_left()
        held = self._outlook.held(wait.record, wait.began_at)
        if clock.now() >= wait.deadline_at:
            return self._give_up(wait, why_held(held) or errors.deadline_exceeded(wait.timeout_seconds))
        if is_answering:
            return None
        hopeless = self._hopeless(wait, held)
        return None if hopeless is None else self._refuse_waiting(wait, hopeless)

    def _hopeless(self, wait: Wait, held: Held | None) -> ErrorReply | None:
        """Why this client would wait in vain, for all that is known now."""
        closed = None if held is None else held.closed
        if held is not None and held.closed.cause in TIMED:
            return too_late(held) if held.closed.until > wait.waits_until else None
        return None if wait.only_reads else self._outlook.nobody_serves(closed, wait.began_at)

    def _give_up(self, wait: Wait, error: ErrorReply) -> Outcome:
        """The deadline has passed: the job ends with `error`, unless its outcome came in the same moment."""
        if not wait.owns_job:
            self._leave(wait, 0.0)
            return Outcome(error=error)
        self._jobs.fail(wait.record.id, error)
        return self._jobs.outcome(wait.record.id) or Outcome(error=error)

    def _refuse_waiting(self, wait: Wait, error: ErrorReply) -> Outcome | None:
        """The gate opens too late for this client. A job that runs already is let finish, and waited for."""
        job_id = wait.record.id
        if not wait.owns_job:
            self._leave(wait, 0.0)
            return Outcome(error=error)
        transitions.fail_waiting(self._connection, self._settings, job_id, error, spares_running=True)
        return self._jobs.outcome(job_id)

    def leave(self, wait: Wait) -> None:
        """The client has hung up: its job ends after the grace, unless a retry joins it or others wait for it."""
        self._leave(wait, self._settings.abandon_grace_seconds)

    def _leave(self, wait: Wait, grace_seconds: float) -> None:
        # With Redis away this can't be noted; the job's own deadline ends it then.
        with suppress(*AWAY):
            self._jobs.leave(wait.record.id, wait.waiter, abandon_at=clock.now() + grace_seconds)


class _Places:
    """A limited number of places, entered without waiting."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = threading.BoundedSemaphore(limit) if limit else None
        #: set when the process stops: nobody enters any more
        self.is_closed = False

    def __enter__(self) -> None:
        if self.is_closed:
            raise _stopping()
        if self._free is None or not self._free.acquire(blocking=False):
            raise errors.rate_limited(
                f"{self._limit} requests wait here already (NIGHTSHIFT_MAX_WAITING)."
                " Try again, or send 'Prefer: respond-async' and poll.",
                ErrorCode.TOO_MANY_WAITING,
                BUSY_RETRY_SECONDS,
            )

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._free is not None:
            self._free.release()


def _stopping() -> ErrorReply:
    return errors.unavailable("The server is stopping. Try again.", ErrorCode.SERVER_STOPPING, STOP_RETRY_SECONDS)
