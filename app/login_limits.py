"""The usage limits that single logins have met, where machines have different ones: a login's limit is no reason for another's to wait.

One Redis hash: JSON by the login's label and the scope that the limit holds. An entry is in force until it is to be tried; it is known to all
workers of that login by their beats. The gate closes only when no other login is left.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from app import clock
from app.gate import LOGIN_LIMITS, Cause, Closed
from app.scopes import SCOPES, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from redis import Redis

    from app.gate import Closings
    from app.ways import Way
    from app.worker_status import WorkerStatus

#: what closes the gate for a login's own sake
CAUSES = (Cause.USAGE_LIMIT, Cause.UTILIZATION)
#: how long the hash is kept after its last entry, seconds: the longest window is a week
_KEEP_SECONDS = 8 * 86400
_FIELDS = {field.name for field in fields(Closed)}
_SCOPE_OF = {str(scope): scope for scope in SCOPES}


@dataclass(frozen=True, slots=True)
class LoginLimit:
    """One login's."""

    label: str
    scope: Scope
    closed: Closed


#: by label, what its login may not do now
Limits = dict[str, dict[Scope, Closed]]


def note(connection: Redis, label: str, scope: Scope, closed: Closed) -> None:
    """That login has met a limit."""
    pipe = connection.pipeline()
    pipe.hset(LOGIN_LIMITS, f"{label}|{scope}", json.dumps(asdict(closed)))
    pipe.expire(LOGIN_LIMITS, _KEEP_SECONDS)
    pipe.execute()


def read(connection: Redis) -> Limits:
    """Those in force."""
    found: Any = connection.hgetall(LOGIN_LIMITS)
    return limits_of(found, clock.now())


def limits_of(reply: Mapping[bytes, bytes], now: float) -> Limits:
    """What the hash says; a scope or a cause that only newer code knows is left out, and so is what that says besides."""
    found: Limits = {}
    for field, text in reply.items():
        label, _, name = field.decode().partition("|")
        known = {key: value for key, value in json.loads(text).items() if key in _FIELDS}
        if name not in _SCOPE_OF or known["cause"] not in CAUSES:
            continue
        closed = Closed(**{**known, "cause": Cause(known["cause"])})
        if closed.probe_at > now:
            found.setdefault(label, {})[_SCOPE_OF[name]] = closed
    return found


def holding(limits: Limits, label: str, scope: Scope) -> Closed | None:
    """What keeps that login from what the scope has: a limit of the scope's, or of its whole way's; the one that lasts longest."""
    mine = limits.get(label, {})
    found = [mine[one] for one in {scope, Scope(scope.way)} if one in mine]
    return max(found, key=lambda closed: closed.probe_at, default=None)


def labels_by(way: Way, rows: Iterable[WorkerStatus]) -> set[str]:
    """Of the logins by which these workers can go that way; empty for one that is not known."""
    return {row.login_labels.get(way, "") for row in rows if way in row.ways.split(",")}


def are_known(labels: Iterable[str]) -> bool:
    """Whether each tells its login from others: older code has none, and goes by the gate alone."""
    return all(" " in label for label in labels)


def goes_on(limits: Limits, scope: Scope, labels: Collection[str]) -> bool:
    """Whether one of these logins has no limit that holds what the scope has. False while one of them is not known."""
    return are_known(labels) and any(holding(limits, label, scope) is None for label in labels)


def alone(limits: Limits, closings: Closings) -> list[LoginLimit]:
    """Of each login that waits while others go on, what it waits for: the gate is open to what its limit holds."""
    return [
        LoginLimit(label, scope, closed)
        for label, scopes in sorted(limits.items())
        for scope, closed in sorted(scopes.items(), key=lambda one: str(one[0]))
        if not any(one in closings.scopes for one in (scope, Scope(scope.way)))
    ]


def first_over(limits: Limits, labels: Iterable[str], scope: Scope) -> Closed | None:
    """Of the limits that hold these logins the one that is tried first; None: none holds any."""
    found = [holding(limits, label, scope) for label in labels]
    return min(filter(None, found), key=lambda closed: closed.probe_at, default=None)
