"""The usage limits of this worker's own logins, and when they close the gate for all: when no other login serves.

Another machine's login may have another limit. So a limit is noted for the login that met it; its workers take nothing that it holds, and
what they have taken goes back for others. The beat keeps what is known up to date, so that no job costs a look at it.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from app import clock, login_label, login_limits, worker_status
from app.gate import Closed, Closings, Gate, read_closings
from app.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from redis import Redis

    from app.login_limits import Limits
    from app.settings import Settings
    from app.ways import Way

log = logging.getLogger(__name__)

#: how often a login is looked at for its label, seconds
LABEL_SECONDS = 60.0


class OwnLimits:
    """One worker's. `refresh` is for the thread of the beat, all else for any."""

    def __init__(self, worker: str, settings: Settings, ways: Sequence[Way]) -> None:
        self._worker = worker
        self._settings = settings
        self._ways = ways
        self._key = b""
        #: of each way, when its login was looked at, `time.monotonic()`, and its label then
        self._labels: dict[Way, tuple[float, str]] = {}
        self._limits: Limits = {}

    def label(self, way: Way) -> str:
        """Of the login that goes that way; empty: there is none, or it was not looked at yet."""
        return self._labels.get(way, (0.0, ""))[1]

    def labels(self) -> dict[str, str]:
        """By way, as `label`."""
        return {str(way): label for way, (_, label) in self._labels.items()}

    def refresh(self, connection: Redis, works_by: Callable[[Way], bool]) -> None:
        """Look at the logins, and at what all of them have met; close or open the gate where that is due.

        `works_by`: whether the worker can use a way, for all that it knows.
        """
        self._read_labels(connection)
        self._limits = login_limits.read(connection)
        if self._limits:
            for way in filter(works_by, self._ways):
                self._settle(connection, way)

    def merged(self, closings: Closings) -> Closings:
        """What is closed to this worker: to all, and to its own logins."""
        mine = self._mine()
        if not mine:
            return closings
        longer = {
            scope: closed
            for scope, closed in mine.items()
            if scope not in closings.scopes or closings.scopes[scope].probe_at < closed.probe_at
        }
        return replace(closings, scopes={**closings.scopes, **longer})

    def holds(self, way: Way) -> bool:
        """Whether its login may ask nothing that way."""
        return Scope(way) in self._mine()

    def meet(self, connection: Redis, scope: Scope, closed: Closed) -> bool:
        """Its login has met that limit. Whether others' serve what the scope has, so that the gate stays open."""
        label = self.label(scope.way)
        if " " not in label:
            return False
        if self._settings.resume == "manual":
            # `nightshift resume` forgets it, and nothing else does.
            closed = replace(closed, probe_at=math.inf)
        login_limits.note(connection, label, scope, closed)
        self._limits = login_limits.read(connection)
        return login_limits.goes_on(self._limits, scope, self._labels_by(connection, scope.way) - {label})

    def _mine(self) -> dict[Scope, Closed]:
        if not self._limits:
            return {}
        now = clock.now()
        return {
            scope: closed
            for way in self._ways
            for scope, closed in self._limits.get(self.label(way), {}).items()
            if scope.way == way and closed.probe_at > now
        }

    def _read_labels(self, connection: Redis) -> None:
        now = time.monotonic()
        for way in self._ways:
            step = self._settings.step(way)
            if step is not None and (way not in self._labels or now - self._labels[way][0] > LABEL_SECONDS):
                self._key = self._key or login_label.read_key(connection)
                self._labels[way] = now, login_label.label(self._settings, step, self._key)

    def _settle(self, connection: Redis, way: Way) -> None:
        """Close what no login is left for, and open what was closed for others' limits while this worker's login has none."""
        label = self.label(way)
        met = {scope for scopes in self._limits.values() for scope in scopes if scope.way == way}
        if not met or " " not in label:
            return
        closings, others = read_closings(connection), self._labels_by(connection, way) - {label}
        for scope in met:
            shared, mine = closings.scopes.get(scope), login_limits.holding(self._limits, label, scope)
            if mine is not None and shared is None and not login_limits.goes_on(self._limits, scope, others):
                self._close(connection, scope, others | {label})
            is_for_others = shared is not None and shared.cause in login_limits.CAUSES and mine is None
            # Older code closes it for all, and would again.
            if is_for_others and login_limits.are_known(others):
                log.info("[LIMIT] scope=%s: the login %s has no limit", scope, label)
                Gate(connection, scope).open()

    def _close(self, connection: Redis, scope: Scope, labels: Collection[str]) -> None:
        first = login_limits.first_over(self._limits, labels, scope)
        if first is not None:
            log.warning("[LIMIT] cause=%s scope=%s: no login is left without one", first.cause, scope)
            gate = Gate(connection, scope)
            gate.close(first.cause, first.until, first.reason, first.limit, probe_at=first.probe_at)
            if self._settings.resume == "manual":
                gate.pause(reason=f"{first.cause} of every login; NIGHTSHIFT_RESUME=manual: resume by hand")

    def _labels_by(self, connection: Redis, way: Way) -> set[str]:
        """Of the logins by which other workers can go that way."""
        rows = worker_status.read_all(connection)
        lease = self._settings.lease_seconds
        return login_limits.labels_by(way, (row for row in rows if row.name != self._worker and row.is_alive(lease)))
