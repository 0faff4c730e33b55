"""The gate: one state in Redis that all workers look at before they take a job. Closed, everything waits and nothing fails.

It closes for a cause that is not a request's fault: Claude's usage limit, a login that does not work. Past `until` one
worker at a time may try a job (the probe); when that passes the gate opens, else it closes again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis
    from redis.client import Pipeline

GATE = "nightshift:gate"
_PROBE = "nightshift:gate:probe"
#: a probe that has not reported for so long has died with its worker, seconds
PROBE_SECONDS = 120


class Cause(StrEnum):
    """Why the gate is closed."""

    USAGE_LIMIT = "usage_limit"
    LOGIN = "login"


@dataclass(frozen=True)
class Closed:
    """A closed gate. Times are seconds since the epoch."""

    cause: Cause
    since: float
    #: when the next probe may go
    until: float
    #: what Claude said, for people
    reason: str
    #: which limit, e.g. `five_hour`; empty for other causes
    limit: str = ""


class Gate:
    """Reads and changes the state. Every method is one round trip, or one transaction."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def read(self) -> Closed | None:
        """The closed gate, or None when it is open."""
        return read_from(self._connection.hgetall(GATE))

    def may_pass(self, worker: str) -> bool:
        """Whether this worker may take a job now: the gate is open, or it is this worker's turn to probe."""
        closed = self.read()
        if closed is None:
            return True
        if time.time() < closed.until:
            return False
        return bool(self._connection.set(_PROBE, worker, nx=True, ex=PROBE_SECONDS)) or self._is_probe(worker)

    def close(self, cause: Cause, until: float, reason: str, limit: str = "") -> None:
        """Close it, or say anew why it is closed and until when; `since` stays while the cause does."""

        def change(pipe: Pipeline) -> None:
            before = read_from(pipe.hgetall(GATE))
            since = before.since if before and before.cause is cause else time.time()
            pipe.multi()
            pipe.hset(
                GATE,
                mapping={"cause": cause, "since": since, "until": until, "reason": reason[:500], "limit": limit},
            )
            pipe.delete(_PROBE)

        self._connection.transaction(change, GATE)

    def passed(self, worker: str) -> None:
        """This worker's job got an answer: was it the probe, the gate opens. Other jobs tell nothing."""
        if self._is_probe(worker):
            self.open()

    def open(self) -> bool:
        """Open it. Whether it was closed."""
        pipe = self._connection.pipeline()
        pipe.delete(GATE)
        pipe.delete(_PROBE)
        return bool(pipe.execute()[0])

    def end_probe(self, worker: str) -> None:
        """This worker's probe told nothing (the job was cancelled, say): the next may go."""
        if self._is_probe(worker):
            self._connection.delete(_PROBE)

    def _is_probe(self, worker: str) -> bool:
        return self._connection.get(_PROBE) == worker.encode()


def read_from(data: Mapping[Any, Any]) -> Closed | None:
    """The state in the hash `GATE`."""
    if not data:
        return None
    text = {key.decode(): value.decode() for key, value in data.items()}
    return Closed(
        Cause(text["cause"]), float(text["since"]), float(text["until"]), text["reason"], text.get("limit", "")
    )
