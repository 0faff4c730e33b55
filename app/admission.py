"""The jobs that may go on though a way is closed to them: its probes. And what a job is parked for that may not.

A closed scope is tried by jobs of its own: past `Closed.probe_at` the first that a worker takes passes as its probe. One that two
closings hold, its family's and its whole way's, tries both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.gate import Gate
from app.ladder import steps_for
from app.scopes import Lot, family_of, scopes_of
from app.ways import OF_WORKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from app.gate import Closings
    from app.jobs.record import JobRecord
    from app.scopes import Scope
    from app.ways import Step, Way


class Probes:
    """The closed scopes that one worker's job tries."""

    def __init__(self, connection: Redis, closings: Closings, worker: str) -> None:
        self._connection = connection
        self._closings = closings
        self._worker = worker
        self.scopes: tuple[Scope, ...] = ()

    def take(self, way: Way, family: str) -> bool:
        """Whether a job of that family tries that way now: the time of each closing that holds it has come, and no other does."""
        scopes = _closed(self._closings, way, family)
        if not _are_due(self._closings, scopes):
            return False
        for scope in scopes:
            if not Gate(self._connection, scope).may_pass(self._worker):
                self.end()
                return False
            self.scopes = (*self.scopes, scope)
        return True

    def passed(self) -> None:
        """The job got an answer: its scopes are open."""
        for scope in self.scopes:
            Gate(self._connection, scope).passed(self._worker)
        self.scopes = ()

    def end(self) -> None:
        """The job told nothing of those that are left: the next may try them."""
        for scope in self.scopes:
            Gate(self._connection, scope).end_probe(self._worker)
        self.scopes = ()


def lot_of(ladder: Sequence[Step], record: JobRecord) -> Lot:
    """What a job waits for that is closed out of every way which it may go."""
    mine = {step.way for step in steps_for(ladder, record)}
    return Lot(family_of(record.model), tuple(way for way in OF_WORKERS if way in mine))


def is_open(closings: Closings, lot: Lot) -> bool:
    """Whether what is parked for it may go on."""
    return closings.holding_all(lot.ways, lot.family) is None


def is_due(closings: Closings, lot: Lot) -> bool:
    """Whether one that is parked for it is to be tried."""
    return any(_are_due(closings, _closed(closings, way, lot.family)) for way in lot.ways)


def _closed(closings: Closings, way: Way, family: str) -> tuple[Scope, ...]:
    return tuple(scope for scope in scopes_of(way, family) if scope in closings.scopes)


def _are_due(closings: Closings, scopes: Sequence[Scope]) -> bool:
    return closings.pause is None and all(closings.scopes[scope].may_be_probed for scope in scopes)
