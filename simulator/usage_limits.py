"""A subscription's usage limit as the API tells it: the ``anthropic-ratelimit-unified-*`` headers.

The headers are not in the public reference; their names are those that the Claude CLI reads.
"""

from simulator.errors import ApiError
from simulator.rules import UsageLimit

_PREFIX = "anthropic-ratelimit-unified"

#: Seconds of each window by its short name in a header.
_WINDOWS = {"5h": 5 * 3600, "7d": 7 * 24 * 3600}


def headers(limit: UsageLimit, now: float) -> dict[str, str]:
    """Return the headers that tell ``limit``; ``now`` is in epoch seconds."""
    resets_at = limit.resets_at if limit.resets_at is not None else int(now + limit.resets_in_seconds)
    found = {
        f"{_PREFIX}-status": limit.status,
        f"{_PREFIX}-reset": str(resets_at),
        f"{_PREFIX}-representative-claim": limit.type,
    }
    if limit.utilization is not None:
        for window in _WINDOWS:
            found[f"{_PREFIX}-{window}-utilization"] = str(limit.utilization)
            found[f"{_PREFIX}-{window}-reset"] = str(resets_at)
            found[f"{_PREFIX}-{window}-status"] = limit.status
    return found


def rejection(limit: UsageLimit, now: float) -> ApiError:
    """Return the 429 that a request gets beyond ``limit``."""
    message = "This request would exceed your account's rate limit. Please try again later."
    return ApiError(429, message, headers=headers(limit, now))
