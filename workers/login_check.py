"""Whether Claude takes this worker's login: asked at its start, and while the login does not work, by requests that cost nothing.

Each is refused by the API before a model sees it: with a 400 where the login works, with a 401 or the like where it does not. So
a mistyped key is found before a client's request meets it, and work resumes by itself when the login works again, without a
request of anybody's as the one that tries. What can't be found out so (an account out of credit, say) shows with the next request.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from app import clock, worker_status
from app.gate import Cause
from app.jobs import tickets
from app.messages.failure import FailureKind

if TYPE_CHECKING:
    from redis import Redis

    from app.gate import Closed, Gate
    from app.settings import Settings
    from workers.engine import Engine

log = logging.getLogger(__name__)

#: the longest that one check may take; after that the next request decides, seconds
_SECONDS = 20.0
#: how much later than others a worker whose login has failed tries again, seconds
_MARGIN_SECONDS = 1.0


class LoginCheck:
    """One worker's. A login that fails is this worker's own until it works: the gate may be opened by another machine's."""

    def __init__(self, worker: str, connection: Redis, settings: Settings, engine: Engine, gate: Gate) -> None:
        self._worker = worker
        self._connection = connection
        self._settings = settings
        self.engine = engine
        self._gate = gate
        #: when the login is to be tried, `time.monotonic()`; `inf` while it works
        self._due_at = 0.0
        self._has_failed = False

    def may_be_used(self) -> bool:
        """Whether this worker may go to the gate: its login works as far as is known, or is due to be tried again.

        At its first call it is tried: this may be another login than the one that the gate is closed for.
        """
        if self._due_at == 0.0:
            return self._try(is_probe=False)
        return not self._has_failed or time.monotonic() >= self._due_at

    @property
    def works(self) -> bool:
        """Whether it was tried, and not refused."""
        return self._due_at == math.inf

    def is_to_be_tried(self, closed: Closed | None) -> bool:
        """Whether this worker tries its login before it tries a request, where the gate lets it pass though it is `closed`."""
        return self._has_failed or _is_login(closed)

    def passes_gate(self, closed: Closed | None, *, opens: bool = False) -> bool:
        """Whether this worker, whom the gate lets pass though it is `closed`, may take a job: not while its login fails.

        If the gate is closed for a login, this worker tries its own before it tries a request. `opens`: it opens the gate if its own
        works, whatever waits.
        """
        return self._try(is_probe=_is_login(closed), opens=opens) if self.is_to_be_tried(closed) else True

    def _try(self, *, is_probe: bool, opens: bool = False) -> bool:
        failure = self.engine.check_login(timeout_seconds=_SECONDS)
        if failure is not None and failure.kind is FailureKind.LOGIN:
            self._fails(failure.message, is_probe=is_probe)
            return False
        opens = opens or self._due_at == 0.0
        if self._has_failed:
            log.info("[LOGIN] worker=%s way=%s: the login works again", self._worker, self.engine.way)
        self._has_failed, self._due_at = False, math.inf
        closed = self._gate.read()
        # What a request ran into, but a check does not, is for the next request to try: one of them, if there are any.
        if closed is not None and closed.cause is Cause.LOGIN and (opens or not tickets.queue(self._connection).count):
            self._gate.open()
        return True

    def _fails(self, reason: str, *, is_probe: bool) -> None:
        pause = self._settings.login_probe_seconds
        # A worker whose login may work is to be the next that tries.
        self._has_failed, self._due_at = True, time.monotonic() + pause + _MARGIN_SECONDS
        said = "[LOGIN] worker=%s way=%s: Claude does not take the login: %s"
        log.warning(said, self._worker, self.engine.way, reason)
        if is_probe or not self._others_serve():
            self._gate.close(Cause.LOGIN, math.inf, reason, probe_at=clock.now() + pause)

    def _others_serve(self) -> bool:
        rows = worker_status.read_all(self._connection)
        lease = self._settings.lease_seconds
        others = [row for row in rows if row.name != self._worker and row.is_alive(lease)]
        return any(row.state.is_serving and row.serves(self.engine.way) for row in others)


def _is_login(closed: Closed | None) -> bool:
    return closed is not None and closed.cause is Cause.LOGIN
