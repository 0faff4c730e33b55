"""The gate as clients see it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.gate import Closed


def of(closed: Closed | None) -> dict[str, Any]:
    """`open`, and when it is closed why, since when, and until when (null: nobody knows). Seconds since the epoch."""
    if closed is None:
        return {"object": "gate", "open": True}
    return {
        "object": "gate",
        "open": False,
        "cause": str(closed.cause),
        "reason": closed.reason,
        "limit": closed.limit or None,
        "since": closed.since,
        "until": _known(closed.until),
        "probe_at": _known(closed.probe_at),
    }


def _known(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds
