"""Each time that the gate was closed: written in the step that closes or opens it, read by `app.history`.

One Redis hash, `nightshift:history:waits`, of few fields: `app.history.closings.tidy` removes the old ones.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from app.ways import Way

if TYPE_CHECKING:
    from redis.client import Pipeline

KEY = "nightshift:history:waits"


@dataclass(frozen=True, slots=True)
class Closing:
    """A time in which jobs of a scope were not taken. Seconds since the epoch."""

    #: a `Cause` of `app.gate`
    cause: str
    #: what Claude, or whoever paused it, said
    reason: str
    #: the scope, where it is another one than all of `cli`, and which limit: `five_hour`, `cli:opus seven_day_opus`, `api`
    limit: str
    since: float
    #: when it ended, or will by itself; `inf` while nobody has written that down
    until: float

    @property
    def way(self) -> str:
        """That it closed; empty: all of them, as a pause does."""
        if self.cause == "paused":
            return ""
        named = self.limit.partition(" ")[0].partition(":")[0]
        return named if named in [*Way] else Way.CLI

    @property
    def family(self) -> str:
        """Of the models that it held; empty: all."""
        return self.limit.partition(" ")[0].partition(":")[2]

    @property
    def field(self) -> str:
        """How the hash names it."""
        return f"{self.since} {self.cause}"


def note(pipe: Pipeline, closing: Closing) -> None:
    """Put the command that writes it on the caller's pipeline; what was written of the same closing is replaced."""
    until = None if closing.until == math.inf else closing.until
    pipe.hset(KEY, closing.field, json.dumps({**asdict(closing), "until": until}, ensure_ascii=False))


def closing_of(value: str | bytes) -> Closing:
    """A field's value."""
    found = json.loads(value)
    return Closing(**{**found, "until": math.inf if found["until"] is None else found["until"]})
