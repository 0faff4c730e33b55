"""The clock that all processes share: Redis'. Every time that two machines compare is read here, never from the machine's own clock.

Each new connection asks Redis for its `TIME` (`app.connection`), and what runs for long asks again every few seconds (`sync`).
Between two looks the kernel's steady clock counts, so that neither a step of this machine's clock nor a wrong one is ever seen.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

#: a machine's own clock that is further from Redis' is reported, and its maintenance rests, seconds
MAX_SKEW_SECONDS = 1.0
#: a step of Redis' own clock that is larger than this leaves no lease as it was, seconds
JUMP_SECONDS = 1.0
#: what `refresh` finds older is asked for again, seconds
REFRESH_SECONDS = 5.0
#: by how much two steady clocks may drift apart, seconds a second
_DRIFT = 2e-4
#: also counts while the machine sleeps, where the kernel has such a clock
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class _Reading:
    """Redis' time minus the steady clock's lies between these two: it was read somewhere between asking and hearing."""

    least: float
    most: float
    #: by the steady clock
    at: float

    def narrowed(self, newer: _Reading) -> _Reading:
        """Both together. Where they contradict each other, Redis' clock was set, and the newer one holds."""
        drift = _DRIFT * (newer.at - self.at)
        least, most = max(self.least - drift, newer.least), min(self.most + drift, newer.most)
        return newer if least > most else _Reading(least, most, newer.at)

    def jump(self, newer: _Reading) -> float:
        """How far Redis' clock was set in between, at least; 0 when both can be true."""
        return max(newer.least - self.most, self.least - newer.most, 0.0)


class Clock:
    """What this process knows of Redis' clock. Any number of threads."""

    def __init__(self) -> None:
        #: how often Redis' own clock was seen to be set; the same number means that no lease has moved
        self.jumps = 0
        self._reading: _Reading | None = None
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch by Redis' clock; by this machine's own until Redis was asked for the first time."""
        reading = self._reading
        return _own() if reading is None else steady() + (reading.least + reading.most) / 2

    def hear(self, theirs: float, asked: float, heard: float) -> None:
        """Redis said `theirs`; the question left and the answer came at these times of `steady`."""
        newer = _Reading(theirs - heard, theirs - asked, heard)
        with self._lock:
            before = self._reading
            self._reading = newer if before is None else before.narrowed(newer)
            self.jumps += before is not None and before.jump(newer) > JUMP_SECONDS

    def is_old(self) -> bool:
        """Whether Redis was not asked lately."""
        reading = self._reading
        return reading is None or steady() - reading.at > REFRESH_SECONDS

    def skew(self) -> float | None:
        """How far this machine's own clock is ahead of Redis', at least, seconds (behind: below 0). None: nobody knows."""
        reading = self._reading
        if reading is None:
            return None
        own = _own() - steady()
        return own - min(max(own, reading.least), reading.most)


def _own() -> float:
    return time.time()  # noqa: TID251 - what Redis' clock is compared with


def steady() -> float:
    """Seconds of this machine since it was started. They never jump."""
    return time.clock_gettime(_STEADY)


_clock = Clock()
_asking = threading.Lock()
now = _clock.now
hear = _clock.hear
skew = _clock.skew


def jumps() -> int:
    """See `Clock.jumps`."""
    return _clock.jumps


def sync(connection: Redis) -> None:
    """Ask Redis for its time. Raises redis-py's errors when it is away."""
    asked = steady()
    found: Any = connection.time()
    hear(found[0] + found[1] / 1e6, asked, steady())


def refresh(connection: Redis) -> None:
    """The same when it was not asked lately, by one thread at a time; one that is away changes nothing."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - `nightshift status` and its like need no queue

    if _clock.is_old() and _asking.acquire(blocking=False):
        try:
            with suppress(RedisError, OSError):
                sync(connection)
        finally:
            _asking.release()


def is_off(skew_seconds: float | None) -> bool:
    """Whether a machine with this skew must not judge others' leases while there is one that may."""
    return skew_seconds is not None and abs(skew_seconds) > MAX_SKEW_SECONDS


def words(skew_seconds: float) -> str:
    """`60.0 s ahead of Redis'`, for people."""
    return f"{abs(skew_seconds):.1f} s {'ahead of' if skew_seconds > 0 else 'behind'} Redis'"
