"""The times at which the gate was closed, from `app.wait_log` and the gate itself.

The log alone would not do: a state that vanishes by no step of the gate's (somebody deletes its key) leaves a closing without an
end. So the gate says what lasts, and what else has no end has ended.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import clock, counters, gate, wait_log
from app.connection import transaction
from app.history.sampling import KEEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from app.wait_log import Closing

#: closings that are remembered
MAX_WAITS = 1000


def waits(connection: Redis, since: float, until: float) -> list[Closing]:
    """The closings that reach into that time, the first first. They may overlap: a pause can coincide with other causes."""
    pipe = connection.pipeline()
    for key in (wait_log.KEY, *gate.state_keys()):
        pipe.hgetall(key)
    found = _closings(clock.now(), *pipe.execute())
    return [closing for closing in found if closing.since <= until and closing.until >= since]


def closed_seconds(connection: Redis) -> dict[str, float]:
    """For how long a way, or all of them, was closed to all models so far, for each cause that it had."""
    now = clock.now()
    pipe = connection.pipeline()
    for key in (counters.KEY, wait_log.KEY, *gate.state_keys()):
        pipe.hgetall(key)
    counted, *replies = pipe.execute()
    counts = counters.counts_of(counted)
    found = {labels[0]: value / 1000 for (name, *labels), value in counts.items() if name == counters.CLOSED}
    for closing in _closings(now, *replies):
        if closing.family:
            continue
        found[closing.cause] = found.get(closing.cause, 0.0) + max(0.0, min(closing.until, now) - closing.since)
    return found


def tidy(connection: Redis) -> None:
    """Give an end to closings that have lost theirs, and turn old ones into a sum in the counters. For the maintenance."""

    def change(pipe: Any) -> None:
        pipe.watch(*gate.state_keys())
        now = clock.now()
        log, *closed = (pipe.hgetall(key) for key in (wait_log.KEY, *gate.state_keys()))
        ended = [closing for closing in _closings(now, log, *closed) if closing.until != math.inf]
        pipe.multi()
        for index, closing in enumerate(ended):
            if closing.until < now - KEEP_SECONDS or index < len(ended) - MAX_WAITS:
                pipe.hdel(wait_log.KEY, closing.field)
                if closing.family:
                    continue
                counters.add(pipe, counters.CLOSED, closing.cause, by=round(1000 * (closing.until - closing.since)))
            elif closing.field.encode() in log and wait_log.closing_of(log[closing.field.encode()]).until == math.inf:
                wait_log.note(pipe, closing)

    transaction(connection, wait_log.KEY, change)


def _closings(now: float, log: Mapping[bytes, bytes], *replies: Mapping[bytes, bytes]) -> list[Closing]:
    """What was written and what lasts, in order; what has no end and does not last ends now."""
    logged = {closing.field: closing for closing in map(wait_log.closing_of, log.values())}
    lasting: dict[str, Closing] = {}
    now_closed = gate.closings_of(replies)
    for scope, closed in [(None, now_closed.pause), *now_closed.scopes.items()]:
        if closed is not None:
            closing = gate.in_log(scope, closed, math.inf)
            lasting[closing.field] = replace(closing, until=math.inf)
    ended = {
        field: closing if closing.until < now else replace(closing, until=now) for field, closing in logged.items()
    }
    return sorted((ended | lasting).values(), key=lambda closing: closing.since)
