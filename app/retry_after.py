"""What a server advises in `Retry-After`. Source: RFC 9110, section 10.2.3."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from app import clock


def parse(value: str | None, *, now: float | None = None) -> float | None:
    """Seconds from the header: a whole number of them, or the time until an HTTP date; None if absent or not understood."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) <= 10:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000": RFC 5322's way to say UTC without a place
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - (clock.now() if now is None else now))
