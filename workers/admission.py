"""Which jobs a worker may take, and by which way each goes: what it can use itself, and what the gate has closed.

While all of its ways are closed to every job it takes none, and the queue stays as it is. A job that is closed out of all ways while
others are not is parked (`app.admission`), so that it blocks nobody.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import admission, errors, ladder
from app.error_codes import ErrorCode
from app.gate import Cause, Gate, read_closings
from app.jobs import tickets, transitions
from app.jobs.record import Status
from app.scopes import Scope
from workers.beat import FOR_CLAUDE
from workers.login_check import LoginCheck

if TYPE_CHECKING:
    from redis import Redis

    from app.admission import Probes
    from app.gate import Closings
    from app.jobs.store import Jobs
    from app.settings import Settings
    from app.ways import Way
    from workers.engines import Engines

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admitted:
    """A job may go this way, and tries these closed scopes."""

    way: Way
    probes: Probes


class Admission:
    """One worker's."""

    def __init__(self, worker: str, connection: Redis, settings: Settings, engines: Engines, jobs: Jobs) -> None:
        self._worker = worker
        self._connection = connection
        self._settings = settings
        self._engines = engines
        self._jobs = jobs
        self._logins: dict[Way, LoginCheck] = {}
        #: the ways that this worker can't use now, whatever the gate says
        self._out: set[Way] = set()

    def reason_to_wait(self) -> str:
        """Why this worker may take no job at all, a `Cause` or `FOR_CLAUDE`; empty: it may. Raises redis-py's errors."""
        self._out, reason, made = set(), "", dict(self._engines.made())
        for way, engine in made.items():
            if not engine.is_ready():
                reason = reason or FOR_CLAUDE
                self._out.add(way)
            elif not self._login(way).may_be_used():
                reason = reason or Cause.LOGIN
                self._out.add(way)
        closings = read_closings(self._connection)
        for way in self._engines.ways:
            if way in self._out:
                continue
            if not self._takes(closings, way):
                continue
            if way not in made or self._login(way).passes_gate(closings.holding(way)):
                return ""
            self._out.add(way)
            reason = reason or Cause.LOGIN
        closed = closings.holding_all(self._usable())
        return closed.cause if closed is not None else reason

    def _takes(self, closings: Closings, way: Way) -> bool:
        """Whether some job may go this way now. Past a closing's time one worker at a time may take one all the same."""
        return closings.holding(way) is None or Gate(self._connection, Scope(way)).may_pass(self._worker)

    def _usable(self) -> list[Way]:
        return [way for way in self._engines.ways if way not in self._out]

    def admit(self, job_id: str, queue: str) -> Admitted | None:
        """The way that a job which was just taken from the queue goes. None: it was parked, or returned. Safe to repeat."""
        closings, record = read_closings(self._connection), self._jobs.get(job_id)
        probes = admission.Probes(self._connection, closings, self._worker)
        if record is None or record.status is not Status.QUEUED or record.choices:
            # It asks nothing: its end is found out, or its choices are made.
            return Admitted(self._engines.ways[0], probes)
        steps = [step for step in self._settings.ways if step.way in self._engines.ways]
        way = ladder.choose(steps, record, closings, out=self._out, probes=probes.take)
        if way is not None:
            return Admitted(way, probes)
        if not any(self._takes(closings, way) for way in self._usable()):
            # Nothing can be taken now: all keeps its place.
            tickets.return_from_gap(self._connection, queue, job_id)
            return None
        hold = admission.hold_of(steps, record)
        if not hold.ways:
            said = f"No worker goes the way '{record.way}' to Claude: NIGHTSHIFT_WAYS does not name it (any more)."
            error = errors.invalid_request(said, "metadata.way", ErrorCode.INVALID_VALUE)
            transitions.fail_waiting(self._connection, self._settings, job_id, error)
            return None
        held_by = ladder.held_by(steps, record, closings)
        # Open, and parked all the same: the login does not work here, and another machine's may.
        cause = Cause.LOGIN if held_by is None else held_by.cause
        transitions.park(self._connection, job_id, hold, cause)
        log.info("[LIMIT] parked cause=%s hold=%s job=%s", cause, hold, job_id, extra=record.ids)
        return None

    def _login(self, way: Way) -> LoginCheck:
        if way not in self._logins:
            gate, engine = Gate(self._connection, Scope(way)), self._engines.of(way)
            self._logins[way] = LoginCheck(self._worker, self._connection, self._settings, engine, gate)
        return self._logins[way]
