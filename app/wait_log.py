"""Each time that the gate was closed: written in the step that closes or opens it, read by `app.history`.

One Redis hash, `nightshift:history:waits`, of few fields: `app.history.closings.tidy` removes the old ones.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.client import Pipeline

KEY = "nightshift:history:waits"


@dataclass(frozen=True, slots=True)
class Entry:
    """One closing. Times are seconds since the epoch."""

    cause: str
    reason: str
    limit: str
    since: float
    #: when it ended, or will by itself; `inf` while nobody has written that down
    until: float

    @property
    def field(self) -> str:
        """How the hash names it."""
        return f"{self.since} {self.cause}"


def note(pipe: Pipeline, entry: Entry) -> None:
    """Put the command that writes it on the caller's pipeline; what was written of the same closing is replaced."""
    until = None if entry.until == math.inf else entry.until
    pipe.hset(KEY, entry.field, json.dumps({**asdict(entry), "until": until}, ensure_ascii=False))


def entry_of(value: str | bytes) -> Entry:
    """A field's value."""
    found = json.loads(value)
    return Entry(**{**found, "until": math.inf if found["until"] is None else found["until"]})
