"""The gate: one state in Redis that all workers look at before they take a job. Closed, everything waits and nothing fails.

It closes for a cause that is no request's fault: Claude's usage limit, or the share of it that is ours, a login that does not work, a wall of refusals
(overloads, or too much at once), or somebody's wish. Past `probe_at` one worker at a time may try a job, the probe: when that passes the gate opens, else it
closes again. A pause has no probe; it ends at its time, or by hand. It stands beside the other causes and before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import clock, hashes, wait_log
from app.connection import repeated, transaction
from app.scopes import SCOPES, WHOLE, Scope, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis
    from redis.client import Pipeline

    from app.ways import Way

#: of all scopes together: a pause is for everybody
PAUSE = "nightshift:gate:pause"
#: what single logins have met (`app.login_limits`)
LOGIN_LIMITS = "nightshift:gate:logins"
#: a probe that has not reported for so long has died with its worker, seconds
PROBE_SECONDS = 120
#: so many with no answer in between make a wall
OVERLOADS_FOR_A_WALL = 3
#: KEYS probe; ARGV whose it must be.
_END_PROBE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
#: those that lie further apart than this have nothing to do with each other, seconds
OVERLOAD_MEMORY_SECONDS = 300
#: the first pause at a wall, doubled at each probe that fails, and the longest, seconds: a probe costs one small request, a pause everybody's time
WALL_SECONDS = 15.0
WALL_CAP_SECONDS = 30.0
#: the reason of a pause when none was given
BY_HAND = "paused by hand"


class Cause(StrEnum):
    """Why the gate is closed."""

    USAGE_LIMIT = "usage_limit"
    LOGIN = "login"
    OVERLOAD = "overload"
    #: Claude takes no more requests for now: too much at once for the login's own limits, whose end it does not tell
    RATE_LIMIT = "rate_limit"
    #: as much of a usage window is used as NIGHTSHIFT_STOP_AT_UTILIZATION allows
    UTILIZATION = "utilization"
    #: the way has spent as much as NIGHTSHIFT_WAYS lets it in a day or month
    SPENDING = "spending_cap"
    PAUSED = "paused"


@dataclass(frozen=True)
class Closed:
    """A closed gate. Times are seconds since the epoch; `inf` is a time that nobody knows."""

    cause: Cause
    since: float
    #: when the cause should be over
    until: float
    #: when the next probe may go, which may be sooner: limits are raised, clocks are wrong
    probe_at: float
    #: what Claude, or whoever paused it, said: for people
    reason: str
    #: which limit, e.g. `five_hour`; empty for other causes
    limit: str = ""

    @property
    def may_be_probed(self) -> bool:
        """Whether the next request will be tried."""
        return clock.now() >= self.probe_at

    def lasts_at(self, moment: float) -> bool:
        """Whether it has not ended by itself by then, which only a pause does."""
        return self.cause is not Cause.PAUSED or moment < self.until


@dataclass(frozen=True)
class Closings:
    """All that closes the gate at one moment."""

    pause: Closed | None
    scopes: Mapping[Scope, Closed]

    def holding(self, way: Way, family: str = "") -> Closed | None:
        """What keeps a request of that family (`scopes.family_of`) from going that way: a pause, else what lasts longest.

        None: nothing does. Without a family: what keeps all requests from going that way.
        """
        if self.pause is not None:
            return self.pause
        found = [self.scopes[scope] for scope in scopes_of(way, family) if scope in self.scopes]
        return max(found, key=lambda closed: closed.until, default=None)

    def holding_all(self, ways: Iterable[Way], family: str = "") -> Closed | None:
        """What keeps such a request from going any of these ways: of each the one that holds it, and of those what is over first."""
        found = [self.holding(way, family) for way in ways]
        return None if None in found else min(filter(None, found), key=lambda closed: closed.until, default=None)


#: nothing is closed
OPEN = Closings(None, {})


def read_closings(connection: Redis) -> Closings:
    """What is closed now. Mostly nothing is, and one command says so: each worker looks for every job."""
    return read_closed(connection) if connection.exists(*state_keys()) else OPEN


def read_closed(connection: Redis) -> Closings:
    """The same where that command has said that something is."""
    pipe = connection.pipeline(transaction=False)
    for key in state_keys():
        pipe.hgetall(key)
    return closings_of(pipe.execute())


def closings_of(replies: Iterable[Mapping[Any, Any]]) -> Closings:
    """What the hashes of `state_keys` say, in their order."""
    now = clock.now()
    read = [hashes.from_hash(Closed, data) for data in replies]
    pause, *closed = (one if one is not None and one.lasts_at(now) else None for one in read)
    return Closings(pause, {scope: one for scope, one in zip(SCOPES, closed, strict=True) if one is not None})


class Gate:
    """Reads and changes the state. Every method is one round trip, or one transaction."""

    def __init__(self, connection: Redis, scope: Scope = WHOLE) -> None:
        self._connection = connection
        self._scope = scope

    def read(self) -> Closed | None:
        """The closed gate, or None when it is open. A pause is told before any other cause."""
        pipe = self._connection.pipeline(transaction=False)
        for key in (PAUSE, self._scope.key):
            pipe.hgetall(key)
        read, now = [hashes.from_hash(Closed, data) for data in pipe.execute()], clock.now()
        return next((closed for closed in read if closed is not None and closed.lasts_at(now)), None)

    def may_pass(self, worker: str) -> bool:
        """Whether this worker may take a job now: the gate is open, or it is this worker's turn to probe."""
        closed = self.read()
        if closed is None:
            return True
        if not closed.may_be_probed:
            return False
        taken = self._connection.set(self._scope.probe_key, worker, nx=True, ex=PROBE_SECONDS)
        return bool(taken) or self._is_probe(worker)

    def close(self, cause: Cause, until: float, reason: str, limit: str = "", *, probe_at: float | None = None) -> None:
        """Close it, or say anew why it is closed and until when; `since` stays while the cause does."""
        now = clock.now()
        self._shut(
            self._scope.key, Closed(cause, now, until, until if probe_at is None else probe_at, reason[:500], limit)
        )

    def stop_at_share(self, worker: str, until: float, reason: str, window: str, *, probe_at: float) -> bool:
        """This worker's answer told that our share of a window is used. Whether it is closed for that now.

        It stays closed for another cause, unless the answer was the probe's: others' may be from before the closing.
        """
        closed = Closed(Cause.UTILIZATION, clock.now(), until, probe_at, reason[:500], window)
        return self._shut(self._scope.key, closed, yields=not self._is_probe(worker))

    def note_overload(
        self,
        run: str,
        reason: str,
        cause: Cause = Cause.OVERLOAD,
        *,
        retry_after: float = 0.0,
        probe_seconds: float = math.inf,
    ) -> bool:
        """Claude put this run off; after some in a row the gate closes for a while, for this cause. Whether it is closed now.

        A run counts once, however often it says so. `retry_after`: what Claude asked for, seconds; a probe goes after `probe_seconds`
        all the same.
        """
        pipe = self._connection.pipeline()
        pipe.sadd(self._scope.overloads_key, run)
        pipe.expire(self._scope.overloads_key, OVERLOAD_MEMORY_SECONDS)
        pipe.scard(self._scope.overloads_key)
        count = int(pipe.execute()[-1])
        if count < OVERLOADS_FOR_A_WALL:
            return False
        wait = min(WALL_SECONDS * 2 ** min(count - OVERLOADS_FOR_A_WALL, 10), WALL_CAP_SECONDS)
        now, wait = clock.now(), max(wait, retry_after)
        self.close(cause, now + wait, reason, probe_at=now + min(wait, probe_seconds))
        return True

    def passed(self, worker: str) -> None:
        """This worker's probe got an answer: the gate opens. Others' answers may be from before the closing."""
        if self._is_probe(worker):
            self.open()

    def open(self) -> bool:
        """Open it, whatever the cause but a pause. Whether it was closed."""
        return self._end(self._scope.key)

    def pause(self, until: float = math.inf, reason: str = BY_HAND) -> None:
        """No worker takes a job until then, or until `resume`. What runs goes on."""
        self._shut(PAUSE, Closed(Cause.PAUSED, clock.now(), until, until, reason[:500]))

    def resume(self) -> bool:
        """End a pause, and try at once whatever else closed the gate, or holds a login. Whether there was anything to end."""
        return self._end(*state_keys(), is_for_logins=True)

    def _shut(self, key: str, closed: Closed, *, yields: bool = False) -> bool:
        """Whether it was done: one that `yields` does not take another cause's place."""

        def change(pipe: Pipeline) -> bool:
            before = hashes.from_hash(Closed, pipe.hgetall(key))
            pipe.multi()
            if yields and before is not None and before.cause is not closed.cause:
                return False
            if before is not None and before.cause is closed.cause and before.lasts_at(closed.since):
                _write(pipe, key, replace(closed, since=before.since))
            else:
                _log_end(pipe, key, before)
                _write(pipe, key, closed)
            if key != PAUSE:
                pipe.delete(self._scope.probe_key)
            elif closed.until == math.inf:
                pipe.persist(key)
            else:
                pipe.expireat(key, math.ceil(closed.until) + 1)
            return True

        return transaction(self._connection, key, change)

    def _end(self, *keys: str, is_for_logins: bool = False) -> bool:
        """`is_for_logins`: the limits of single logins, too."""
        was_closed = False
        limits = [LOGIN_LIMITS] if is_for_logins else []

        def change(pipe: Any) -> bool:
            nonlocal was_closed
            pipe.watch(*keys, *limits)
            has_limits = bool(limits) and bool(pipe.exists(*limits))
            ended = [hashes.from_hash(Closed, pipe.hgetall(key)) for key in keys]
            # By a try whose reply was lost, too.
            was_closed = was_closed or any(ended) or has_limits
            pipe.multi()
            for key, closed in zip(keys, ended, strict=True):
                _log_end(pipe, key, closed)
            ended_scopes = [scope for scope in SCOPES if scope.key in keys]
            pipe.delete(
                *keys, *limits, *(name for scope in ended_scopes for name in (scope.probe_key, scope.overloads_key))
            )
            return was_closed

        return transaction(self._connection, self._scope.key, change)

    def end_probe(self, worker: str) -> None:
        """This worker's probe told nothing (the job was cancelled, the worker died): the next may go."""
        # In one step, or the next worker's probe could be taken for this one's.
        repeated(lambda: self._connection.eval(_END_PROBE, 1, self._scope.probe_key, worker))

    def _is_probe(self, worker: str) -> bool:
        return self._connection.get(self._scope.probe_key) == worker.encode()


def state_keys() -> list[str]:
    """The hashes of all that may close it, a pause first: `closings_of` reads them."""
    return [PAUSE, *(scope.key for scope in SCOPES)]


def in_log(scope: Scope | None, closed: Closed, ended: float) -> wait_log.Closing:
    """As it is written down. `scope`: None for a pause; `ended`: `inf` while it lasts."""
    # Nobody is there to write it down when a pause ends by itself.
    end = ended if closed.lasts_at(ended) else closed.until
    # Version 0.1.0 reads this, too: there is no field for the scope.
    held = "" if scope in (None, WHOLE) else str(scope)
    return wait_log.Closing(closed.cause, closed.reason, f"{held} {closed.limit}".strip(), closed.since, end)


def _write(pipe: Pipeline, key: str, closed: Closed) -> None:
    pipe.hset(key, mapping=hashes.to_hash(closed))
    wait_log.note(pipe, in_log(_SCOPE_OF.get(key), closed, math.inf))


def _log_end(pipe: Pipeline, key: str, closed: Closed | None) -> None:
    if closed is not None:
        wait_log.note(pipe, in_log(_SCOPE_OF.get(key), closed, clock.now()))


_SCOPE_OF = {scope.key: scope for scope in SCOPES}
