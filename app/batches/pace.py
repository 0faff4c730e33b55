"""`NIGHTSHIFT_PACE`: lines are spread over the time until a subscription's window resets, so that the night does not meet the wall.

From the use of a window when its first line is due, a straight line leads to the share of it that may be used, at its reset. While more
is used than the line has at that moment, no further line of a batch is fed. The lines' beginnings are in one Redis hash, by window.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app import clock, used_windows
from app.openai import model_names
from app.scopes import family_of, scope_of_limit
from app.ways import Way

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.record import BatchRecord
    from app.settings import Settings
    from app.used_windows import UsedWindow

KEY = "nightshift:pace"
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the line of a window begins. Seconds since the epoch; use 0 to 1."""

    at: float
    utilization: float
    resets_at: float

    def reaches(self, utilization: float, share: float) -> float:
        """When the line that ends at `share` has come to that use; its end where it never does."""
        if utilization <= self.utilization:
            return self.at
        if utilization >= share:
            return self.resets_at
        part = (utilization - self.utilization) / (share - self.utilization)
        return self.at + part * (self.resets_at - self.at)


def ahead_until(connection: Redis, settings: Settings, record: BatchRecord, *, begins: bool = False) -> float | None:
    """When the batch's next line is due, seconds since the epoch; None: now.

    `begins`: its lines would be fed now, so that windows which have no line get theirs.
    """
    windows = _windows(connection, settings, record)
    if not windows:
        return None
    now, due = clock.now(), 0.0
    beginnings = _beginnings(connection)
    for window in windows:
        line = beginnings.get(window.name)
        if line is not None and line.resets_at == window.resets_at:
            due = max(due, line.reaches(window.utilization, settings.stop_at_utilization.of(window.name) or 1.0))
        elif begins:
            made = Beginning(now, window.utilization, window.resets_at)
            connection.hset(KEY, window.name, json.dumps(asdict(made)))
            connection.expireat(KEY, math.ceil(max(one.resets_at for one in windows)) + 1)
    return due if due > now else None


class Pace:
    """Used by the process that does the batches' work: it looks once a second."""

    def __init__(self, connection: Redis, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        #: by batch: when it is looked at next, `time.monotonic()`, and what was found
        self._looks: dict[str, tuple[float, bool]] = {}

    def is_ahead(self, record: BatchRecord) -> bool:
        """Whether no further line of the batch is to be fed yet."""
        if not self._settings.pace:
            return False
        now = time.monotonic()
        if record.id not in self._looks or self._looks[record.id][0] <= now:
            self._looks = {batch_id: look for batch_id, look in self._looks.items() if look[0] > now}
            found = ahead_until(self._connection, self._settings, record, begins=True)
            self._looks[record.id] = now + _LOOK_SECONDS, found is not None
        return self._looks[record.id][1]


def _windows(connection: Redis, settings: Settings, record: BatchRecord) -> list[UsedWindow]:
    """Those that hold the batch's model, and begin anew before it expires: there is nothing to spread over a longer time."""
    if not settings.pace or record.way not in ("", Way.CLI) or settings.step(Way.CLI) is None:
        return []
    family = family_of(model_names.resolved_or_itself(record.model, settings))
    return [
        window
        for window in used_windows.read(connection, Way.CLI)
        if window.resets_at <= record.expires_at and scope_of_limit(Way.CLI, window.name).family in ("", family)
    ]


def _beginnings(connection: Redis) -> dict[str, Beginning]:
    found: Any = connection.hgetall(KEY)
    return {name.decode(): Beginning(**json.loads(text)) for name, text in found.items()}
