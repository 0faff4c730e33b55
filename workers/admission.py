"""Which jobs a worker may take, and by which way each goes: what it can use itself, and what the gate has closed.

While all of its ways are closed to every job it takes none, and the queue stays as it is. A job that is closed out of all ways while
others are not is parked (`app.admission`), so that it blocks nobody.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app import admission, caps, errors, ladder
from app.error_codes import ErrorCode
from app.gate import OPEN, Cause, Gate, read_closed, read_closings
from app.jobs import tickets, transitions
from app.scopes import Scope
from workers.beat import FOR_CLAUDE
from workers.login_check import LoginCheck
from workers.own_limits import OwnLimits

if TYPE_CHECKING:
    from redis import Redis

    from app.admission import Probes
    from app.gate import Closings
    from app.jobs.record import JobRecord
    from app.jobs.transitions import Claimed
    from app.settings import Settings
    from app.ways import Way
    from workers.engine import Engine
    from workers.engine_by_way import Engines

log = logging.getLogger(__name__)

#: for so long after a look at the gate that found it open a worker takes its next ticket without one, seconds
OPEN_SECONDS = 0.2


@dataclass(frozen=True)
class Admitted:
    """A job may go this engine's way, and tries these closed scopes."""

    engine: Engine
    probes: Probes


@dataclass
class Taken:
    """A ticket that a worker has taken from the queue, and the run that is to have its job."""

    job_id: str
    queue: str
    execution_id: str = field(default_factory=transitions.new_execution)
    #: how its job goes, once it may
    admitted: Admitted | None = None

    def end(self) -> None:
        """The run is over: what it has not tried the next may try."""
        if self.admitted is not None:
            self.admitted.probes.end()


class Admission:
    """One worker's."""

    def __init__(
        self, worker: str, connection: Redis, settings: Settings, engines: Engines, limits: OwnLimits | None = None
    ) -> None:
        """`limits`: those of the worker's own logins, which hold no other's."""
        self._limits = limits or OwnLimits(worker, settings, engines.ways)
        self._worker = worker
        self._connection = connection
        self._settings = settings
        self._engines = engines
        #: of the ladder, those that this worker goes
        self._steps = [step for step in settings.ways if step.way in engines.ways]
        #: when nothing was closed, as far as is known, `time.monotonic()`
        self._seen_open_at = -math.inf
        self._logins: dict[Way, LoginCheck] = {}
        #: when a job went each way last, `time.monotonic()`
        self._used_at: dict[Way, float] = {}
        #: the ways that this worker can't use now, whatever the gate says, and why
        self._out: dict[Way, str] = {}
        #: a cap that there was at an earlier start may be gone: what it has closed is opened once
        self._has_caps = True

    def reason_to_wait(self) -> str:
        """Why this worker may take no job at all, a `Cause` or `FOR_CLAUDE`; empty: it may. Raises redis-py's errors."""
        self.end_idle()
        self._keep_caps()
        # What the last job's claim has read is as good: should it have changed, the next one's claim reads it.
        is_known = time.monotonic() < self._seen_open_at + OPEN_SECONDS
        closings = self._limits.merged(OPEN if is_known else read_closings(self._connection))
        made = dict(self._engines.made())
        self._out = {way: why for way, engine in made.items() if (why := self._why_out(way, engine, closings))}
        for way in self._engines.ways:
            if way in self._out:
                if way in made and made[way].status().state == "starting":
                    # It will be there in a moment, and comes before those that follow.
                    return self._out[way]
            elif closings.holding(way) is None:
                return ""
        if any(self._takes(closings, way) for way in self._usable()):
            return ""
        closed = closings.holding_all(self._usable())
        return closed.cause if closed is not None else next(iter(self._out.values()))

    def _why_out(self, way: Way, engine: Engine, closings: Closings) -> str:
        """Why this worker can't use a way of its own; its login is tried where that is due."""
        login = self._login(way)
        if not engine.is_ready():
            return FOR_CLAUDE
        if not login.may_be_used():
            return Cause.LOGIN
        closed = closings.holding(way)
        if not login.is_to_be_tried(closed) or not self._takes(closings, way):
            return ""
        # Work goes on by another way: no request will come by that could try this one.
        others_are_open = any(one is not way and closings.holding(one) is None for one in self._engines.ways)
        return "" if login.passes_gate(closed, opens=others_are_open) else Cause.LOGIN

    def _takes(self, closings: Closings, way: Way) -> bool:
        """Whether some job may go this way now. Past a closing's time one worker at a time may take one all the same."""
        if closings.holding(way) is None:
            return True
        # At a limit of its own login it does not try: the gate may be open to others', or be tried by them.
        return not self._limits.holds(way) and Gate(self._connection, Scope(way)).may_pass(self._worker)

    def _usable(self) -> list[Way]:
        return [way for way in self._engines.ways if way not in self._out]

    def claim(self, taken: Taken) -> Claimed | None:
        """The job, and in `taken` how it goes. None: it was parked or returned, or there is nothing to run. Safe to repeat."""
        self._keep_caps()
        refused: tuple[JobRecord, Closings] | None = None

        def admits(record: JobRecord, is_closed: bool) -> bool:
            nonlocal refused
            taken.end()
            closings = self._limits.merged(read_closed(self._connection) if is_closed else OPEN)
            self._seen_open_at = -math.inf if is_closed else time.monotonic()
            taken.admitted = self._admit(record, closings)
            refused = None if taken.admitted is not None else (record, closings)
            return taken.admitted is not None

        lease_seconds = self._settings.lease_seconds
        claimed = transitions.claim(
            self._connection, taken.job_id, self._worker, lease_seconds, taken.execution_id, admits=admits
        )
        if refused is not None:
            self._refuse(taken, *refused)
        return claimed

    def _admit(self, record: JobRecord, closings: Closings) -> Admitted | None:
        """How a queued job goes; None: it may not."""
        probes = admission.Probes(self._connection, closings, self._worker)
        if record.choices:
            # It asks nothing: its choices are made.
            return Admitted(self._login(self._engines.ways[0]).engine, probes)
        out = {*self._out}
        while (way := ladder.choose(self._steps, record, closings, out=out, probes=probes.take)) is not None:
            # The login of an engine that is made now is tried before the request, and one that a request has failed by.
            login = self._login(way)
            if login.may_be_used() and login.passes_gate(closings.holding(way)):
                self._used_at[way] = time.monotonic()
                return Admitted(login.engine, probes)
            probes.end()
            out.add(way)
        return None

    def _refuse(self, taken: Taken, record: JobRecord, closings: Closings) -> None:
        """A job that may not go now keeps its place, is parked, or fails."""
        job_id = taken.job_id
        if not any(self._takes(closings, way) for way in self._usable()):
            # Nothing can be taken now: all keeps its place.
            tickets.return_from_gap(self._connection, taken.queue, job_id)
            return
        lot = admission.lot_of(self._steps, record)
        if not lot.ways:
            said = f"No worker goes the way '{record.way}' to Claude: NIGHTSHIFT_WAYS does not name it (any more)."
            error = errors.invalid_request(said, "metadata.way", ErrorCode.INVALID_VALUE)
            transitions.fail_waiting(self._connection, self._settings, job_id, error)
            return
        held_by = ladder.held_by(self._steps, record, closings)
        # Open, and parked all the same: the login does not work here, and another machine's may.
        cause = Cause.LOGIN if held_by is None else held_by.cause
        transitions.park(self._connection, job_id, lot, cause)
        log.info("[LIMIT] parked cause=%s lot=%s job=%s", cause, lot, job_id, extra=record.ids)

    def works_by(self, way: Way) -> bool:
        """Whether this worker has found that it can use the way. For any thread."""
        login = self._logins.get(way)
        return login is not None and way not in self._out and login.works

    def end_idle(self) -> None:
        """End an engine that was made for a request, and that none has needed for long: it holds its memory for nothing."""
        seconds, now = self._settings.max_idle_seconds, time.monotonic()
        for way in [way for way, at in self._used_at.items() if self._engines.is_spare(way) and now - at > seconds > 0]:
            log.info("[RESTART] way=%s: no request has needed it for %.0f s", way, now - self._used_at.pop(way))
            del self._logins[way]
            self._engines.end(way)

    def _keep_caps(self) -> None:
        """Close the ways that have come to their caps, and open those that have not any more."""
        if not self._has_caps:
            return
        closed = caps.keep(self._connection, self._settings.ways)
        self._has_caps = any(step.cap is not None for step in self._settings.ways)
        for way in closed:
            log.warning("[LIMIT] cause=spending_cap scope=%s: it has spent what NIGHTSHIFT_WAYS lets it", way)

    def _login(self, way: Way) -> LoginCheck:
        if way not in self._logins:
            gate, engine = Gate(self._connection, Scope(way)), self._engines.of(way)
            self._logins[way] = LoginCheck(self._worker, self._connection, self._settings, engine, gate)
        return self._logins[way]
