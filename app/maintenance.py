"""What is due each second, for jobs, callbacks and history. Any number of processes run it.

Every step is idempotent and fenced, so two at once do no harm.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app import clock, supervisors
from app.connection import AWAY, texts
from app.history import closings, sampling
from app.jobs import tickets
from app.jobs.record import LEASES
from app.jobs.recovery import Recovery
from app.notices.scan import Scan
from app.webhooks import dispatch

if TYPE_CHECKING:
    from redis import Redis

    from app.settings import Settings

log = logging.getLogger(__name__)

#: written in each round, to see whether it can be
_WRITABLE = "nightshift:writable"


class Maintenance:
    """One of these per supervisor; `run_once` is called each second and never raises for Redis being away."""

    def __init__(self, connection: Redis, settings: Settings, part: supervisors.Part = supervisors.Part.UP) -> None:
        self._connection = connection
        self._settings = settings
        self._recovery = Recovery(connection, settings)
        self._status = supervisors.of_this_process(settings, part)
        #: how often Redis' clock had been set when leases were judged last
        self._jumps = clock.jumps()
        self._patient_until = 0.0
        self._server_run = ""
        self._notices = Scan(connection, settings)

    def run_once(self) -> None:
        """Do all that is due; first what makes room, which a Redis that is full lets pass."""
        try:
            clock.sync(self._connection)
            self._recovery.remove_old()
            if not self._may_judge():
                return
            self._look_at_server()
            self._look_at_clock()
            if time.monotonic() >= self._patient_until:
                self._recovery.expire_leases()
                self._recovery.close_gap()
            self._recovery.requeue_due()
            self._recovery.return_parked()
            self._recovery.cancel_abandoned()
            self._recovery.fail_late()
            self._recovery.reissue_lost()
            self._deliver()
            self._note_history()
            self._notices.look_if_due()
        except AWAY as error:
            # Workers could not beat either: they get a whole lease once Redis is back.
            self._patient_until = time.monotonic() + self._settings.lease_seconds
            log.warning("[RECOVERY] waits for Redis (%s: %s)", type(error).__name__, error)

    def _may_judge(self) -> bool:
        """Tell the others of this process. Not while its machine's clock is off and another's is right."""
        before, self._status = self._status, supervisors.announce(self._connection, self._status)
        if self._status.rests and not before.rests:
            log.error("[CLOCK] %s: others do the maintenance until it is right", self._status.rests)
        elif before.rests and not self._status.rests:
            log.warning("[CLOCK] the clock is right again, or no other is: the maintenance goes on here")
        elif self._status.is_off and not before.is_off:
            skew = clock.words(self._status.clock_skew_seconds)
            log.error("[CLOCK] this machine's clock is %s: set it by NTP", skew)
        return not self._status.rests

    def _look_at_clock(self) -> None:
        """Redis' own clock was set: leases that were written before get their time anew, and none lasts longer than that."""
        if clock.jumps() == self._jumps:
            return
        self._jumps = clock.jumps()
        seconds = self._settings.lease_seconds
        self._patient_until = time.monotonic() + seconds
        until = clock.now() + seconds
        for member in texts(self._connection.zrangebyscore(LEASES, until, "+inf")):
            self._connection.zadd(LEASES, {member: until}, xx=True, lt=True)
        log.warning("[CLOCK] Redis' clock was set: no lease is judged for %.0f s", seconds)

    def _look_at_server(self) -> None:
        run = str(self._connection.info("server")["run_id"])
        if run != self._server_run:
            if self._server_run:
                self._patient_until = time.monotonic() + self._settings.lease_seconds
            self._server_run = run
        # No beat reaches a server that takes no writes, and no lease may end for that.
        self._connection.set(_WRITABLE, 1, ex=60)

    def _deliver(self) -> None:
        callbacks = tickets.queue(self._connection, tickets.CALLBACK_QUEUE)
        if time.monotonic() >= self._patient_until:
            dispatch.drop_abandoned(callbacks)
        dispatch.dispatch_due(self._connection, callbacks, clock.now())

    def _note_history(self) -> None:
        if sampling.take_due(self._connection, clock.now()):
            closings.tidy(self._connection)
