"""The times at which the gate was closed, from `app.wait_log` and the gate itself.

The log alone would not do: a state that vanishes by no step of the gate's (somebody deletes its key) leaves a closing without an
end. So the gate says what lasts, and what else has no end has ended.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app import counters, wait_log
from app.connection import transaction
from app.gate import GATE, PAUSE, read_from
from app.history.keep import KEEP_SECONDS
from app.wait_log import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

#: closings that are remembered
MAX_WAITS = 1000

_KEYS = (wait_log.KEY, GATE, PAUSE)


@dataclass(frozen=True, slots=True)
class Wait:
    """A time in which no job was taken. Seconds since the epoch."""

    #: `usage_limit`, `utilization`, `login`, `overload` or `paused`
    cause: str
    #: what Claude, or whoever paused it, said
    reason: str
    #: which limit, e.g. `five_hour`; empty for other causes
    limit: str
    since: float
    #: `inf` while it lasts
    until: float


def waits(connection: Redis, since: float, until: float) -> list[Wait]:
    """The closings that reach into that time, the first first. They may overlap: a pause stands beside other causes."""
    pipe = connection.pipeline()
    for key in _KEYS:
        pipe.hgetall(key)
    found = [Wait(e.cause, e.reason, e.limit, e.since, e.until) for e in _entries(time.time(), *pipe.execute())]
    return [wait for wait in found if wait.since <= until and wait.until >= since]


def closed_seconds(connection: Redis) -> dict[str, float]:
    """For how long the gate was closed so far, for each cause that it had."""
    now = time.time()
    pipe = connection.pipeline()
    for key in (counters.KEY, *_KEYS):
        pipe.hgetall(key)
    counted, *replies = pipe.execute()
    counts = counters.counts_of(counted)
    found = {labels[0]: value / 1000 for (name, *labels), value in counts.items() if name == counters.CLOSED}
    for entry in _entries(now, *replies):
        found[entry.cause] = found.get(entry.cause, 0.0) + max(0.0, min(entry.until, now) - entry.since)
    return found


def tidy(connection: Redis) -> None:
    """Give an end to closings that have lost theirs, and turn old ones into a sum in the counters. For the maintenance."""

    def change(pipe: Any) -> None:
        pipe.watch(*_KEYS)
        now = time.time()
        log, gate, pause = (pipe.hgetall(key) for key in _KEYS)
        ended = [entry for entry in _entries(now, log, gate, pause) if entry.until != math.inf]
        pipe.multi()
        for index, entry in enumerate(ended):
            if entry.until < now - KEEP_SECONDS or index < len(ended) - MAX_WAITS:
                pipe.hdel(wait_log.KEY, entry.field)
                counters.add(pipe, counters.CLOSED, entry.cause, by=round(1000 * (entry.until - entry.since)))
            elif entry.field.encode() in log and wait_log.entry_of(log[entry.field.encode()]).until == math.inf:
                wait_log.note(pipe, entry)

    transaction(connection, wait_log.KEY, change)


def _entries(
    now: float, log: Mapping[bytes, bytes], gate: Mapping[bytes, bytes], pause: Mapping[bytes, bytes]
) -> list[Entry]:
    """What was written and what lasts, in order; what has no end and does not last ends now."""
    logged = {entry.field: entry for entry in map(wait_log.entry_of, log.values())}
    lasting: dict[str, Entry] = {}
    for closed in filter(None, (read_from(gate), read_from(pause))):
        if closed.lasts_at(now):
            entry = Entry(closed.cause, closed.reason, closed.limit, closed.since, math.inf)
            lasting[entry.field] = entry
    ended = {field: entry if entry.until < now else replace(entry, until=now) for field, entry in logged.items()}
    return sorted((ended | lasting).values(), key=lambda entry: entry.since)
