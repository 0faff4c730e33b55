"""What those who wait can expect: whether the gate is closed, whether anybody serves, and the error that says so.

Hundreds wait in a process: what one look finds is for all of them.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from app import clock, errors, ladder, worker_status
from app.connection import AWAY
from app.error_codes import ErrorCode
from app.gate import Cause, Closings, read_closings
from app.health import nobody_serves
from app.openai.model_names import ALIASES
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from app.errors import ErrorReply
    from app.gate import Closed
    from app.jobs.record import JobRecord
    from app.settings import Settings

_T = TypeVar("_T")

#: how old a look may be, seconds
LOOK_SECONDS = 1.0
#: advice is never longer than a day, seconds
_LONGEST_ADVICE_SECONDS = 86400.0
#: causes whose end is known in advance; a login may be mended, and an overload be over, at any moment
TIMED = (Cause.USAGE_LIMIT, Cause.UTILIZATION, Cause.SPENDING, Cause.PAUSED)


@dataclass(frozen=True)
class Held:
    """What keeps a request waiting, and what would not wait now."""

    closed: Closed
    #: the model that it asks for; empty: all models wait
    model: str = ""
    #: names of models that are answered now
    open_models: Sequence[str] = ()

    @property
    def advice(self) -> str:
        """What the client can do."""
        others = f"Models that are answered now: {', '.join(self.open_models)}. " if self.open_models else ""
        return f"{others}Send 'Prefer: respond-async' to have the request wait."


class Outlook:
    """The gate and the workers as they were at most a second ago.

    `began_at` (`time.monotonic()`) is when the wait began that asks: no wait is refused for what was found before it.
    """

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._gate = _Look(self._look_at_gate, Closings(None, {}), lambda closings: closings != Closings(None, {}))
        # None is known before the first look, and workers may be starting as this process is.
        workers = _Workers(error=None, are_starting=False, unserved_since=time.monotonic())
        self._workers = _Look(self._look_at_workers, workers, lambda seen: seen.error is not None)

    def held(self, record: JobRecord, began_at: float) -> Held | None:
        """What keeps this job from every way that it may go."""
        closings, steps = self._gate.read(began_at), self._settings.ways
        closed = ladder.held_by(steps, record, closings)
        if closed is None:
            return None
        others = [one for one in ALIASES if ladder.held_by(steps, replace(record, model=one), closings) is None]
        return Held(closed, record.model, others) if others else Held(closed)

    def nobody_serves(self, closed: Closed | None, began_at: float) -> ErrorReply | None:
        """The error while no login works, or when for `no_worker_grace_seconds` no worker has served: they are restarted, too."""
        workers = self._workers.read(began_at)
        if closed is not None and closed.cause is Cause.LOGIN and not workers.are_starting:
            return errors.login_required(closed.reason)
        since, grace = workers.unserved_since, self._settings.no_worker_grace_seconds
        return workers.error if since is not None and time.monotonic() - since >= grace else None

    def _look_at_gate(self, _: Closings) -> Closings:
        clock.refresh(self._connection)
        return read_closings(self._connection)

    def _look_at_workers(self, before: _Workers) -> _Workers:
        rows = worker_status.read_all(self._connection)
        alive = [row for row in rows if row.is_alive(self._settings.lease_seconds)]
        error = nobody_serves(alive)
        since = before.unserved_since
        return _Workers(
            error=error,
            are_starting=bool(alive) and all(row.state is WorkerState.STARTING for row in alive),
            unserved_since=None if error is None else time.monotonic() if since is None else since,
        )


@dataclass(frozen=True)
class _Workers:
    #: None: one serves
    error: ErrorReply | None
    #: all of them: the login may be another one than before
    are_starting: bool
    #: `time.monotonic()`; None: one serves
    unserved_since: float | None


class _Look(Generic[_T]):
    """What one of those who wait has read for all. With Redis away the last look has to do: clients keep waiting."""

    def __init__(self, look: Callable[[_T], _T], first: _T, refuses: Callable[[_T], bool]) -> None:
        self._look = look
        self._seen = first
        self._refuses = refuses
        self._read_at = 0.0
        self._lock = threading.Lock()

    def read(self, began_at: float) -> _T:
        """For a wait that began then: what would refuse it was looked for since."""
        with self._lock:
            now = time.monotonic()
            is_before_it = self._refuses(self._seen) and self._read_at < began_at
            if is_before_it or now - self._read_at >= LOOK_SECONDS:
                self._read_at = now
                with suppress(*AWAY):
                    self._seen = self._look(self._seen)
            return self._seen


def why_held(held: Held | None) -> ErrorReply | None:
    """The error for a client whose deadline passed while its request could go no way."""
    if held is None:
        return None
    closed = held.closed
    if closed.cause is Cause.LOGIN:
        return errors.login_required(closed.reason)
    if closed.cause is Cause.OVERLOAD:
        return errors.unavailable(f"Claude is overloaded ({closed.reason}).", ErrorCode.OVERLOADED, 30.0)
    if closed.cause is Cause.RATE_LIMIT:
        what = f"requests for {held.model}" if held.model else "requests"
        message = f"Claude takes no more {what} from this login for now ({closed.reason}). {held.advice}"
        return errors.rate_limited(message, ErrorCode.RATE_LIMIT_EXCEEDED, 30.0)
    return too_late(held)


def too_late(held: Held) -> ErrorReply:
    """The gate will open after the client's deadline."""
    closed, of_model = held.closed, f" for {held.model}" if held.model else ""
    wait = min(max(1.0, closed.until - clock.now()), _LONGEST_ADVICE_SECONDS)
    if closed.cause is Cause.PAUSED:
        return errors.unavailable(f"Nightshift is paused ({closed.reason}). {held.advice}", ErrorCode.PAUSED, wait)
    reset = f"{datetime.fromtimestamp(closed.until, UTC):%Y-%m-%d %H:%M:%S} UTC, later than this request waits"
    if closed.cause is Cause.UTILIZATION:
        return errors.rate_limited(
            f"Nightshift leaves the rest of Claude's usage window{of_model} to its owner ({closed.reason}). It goes on at"
            f" {reset}. {held.advice}",
            ErrorCode.UTILIZATION_REACHED,
            wait,
        )
    if closed.cause is Cause.SPENDING:
        return errors.rate_limited(
            f"The cap on spending is reached ({closed.reason}). It goes on at {reset}. {held.advice}",
            ErrorCode.SPENDING_CAP_REACHED,
            wait,
        )
    return errors.rate_limited(
        f"Claude's usage limit{of_model} is reached ({closed.reason}). It resets at {reset}. {held.advice}",
        ErrorCode.USAGE_LIMIT_REACHED,
        wait,
    )
