"""When an event that was not delivered is tried again. Source: the schedule that Standard Webhooks recommends."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: seconds to the 1st, 2nd, ... retry; the last one repeats until the day is over
DELAYS_SECONDS = (1.0, 5.0, 30.0, 120.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
#: share by which a delay is longer or shorter, so that what failed together does not come back together
JITTER = 0.1
#: how long delivery is tried, counted from the event's creation or its resending, seconds
GIVE_UP_SECONDS = 24 * 3600.0
#: the receiver, or a proxy before it, is overloaded
SLOW_DOWN_STATUSES = frozenset({429, 502, 503, 504})
SLOW_DOWN_SECONDS = 10.0
#: the longest that a receiver can make us wait, seconds
MAX_RETRY_AFTER_SECONDS = 3600.0


def next_attempt(
    failures: int,
    *,
    now: float,
    give_up_at: float,
    status: int | None = None,
    retry_after_seconds: float | None = None,
    rand: Callable[[], float] = random.random,
) -> float | None:
    """When to try again, in seconds since the epoch, or None when the time is up.

    Args:
        failures: attempts that have failed so far, this one included; at least 1.
        now: seconds since the epoch.
        give_up_at: the last attempt is not before this moment, and none is after it has failed then.
        status: the HTTP status of the failure, if there was one.
        retry_after_seconds: the receiver's wish; followed up to `MAX_RETRY_AFTER_SECONDS`, never to be quicker.
        rand: 0 to 1.
    """
    if now >= give_up_at:
        return None
    delay = DELAYS_SECONDS[min(failures, len(DELAYS_SECONDS)) - 1] * (1 - JITTER + 2 * JITTER * rand())
    if status in SLOW_DOWN_STATUSES:
        delay = max(2 * delay, SLOW_DOWN_SECONDS)
    if retry_after_seconds is not None:
        delay = max(delay, min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
    return min(now + delay, give_up_at)
