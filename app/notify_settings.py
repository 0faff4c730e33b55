"""What the settings about notifications may say: URLs of Apprise, which hold tokens, and a time of day."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://\S+", re.IGNORECASE)
#: commas are part of some URLs: only one before another URL separates
_BETWEEN = re.compile(r"\s+|,(?=\s*[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?:\s+(\S+))?")
#: of one batch
MAX_URLS = 5
_MAX_LENGTH = 2000


class UrlsError(ValueError):
    """They are no URLs. The message quotes none of them."""


def read_urls(text: str) -> tuple[str, ...]:
    """URLs with white space or commas between. Raises `UrlsError`."""
    found = tuple(part.strip() for part in _BETWEEN.split(text) if part.strip())
    for place, one in enumerate(found, 1):
        if not _URL.fullmatch(one):
            raise UrlsError(f"takes URLs of Apprise, such as ntfys://ntfy.sh/my-topic; number {place} is none")
    return found


def scheme(url: str) -> str:
    """The service that a URL is of: all of it that may be shown."""
    return url.partition("://")[0].lower()


def mark(url: str) -> str:
    """A name for it that says nothing of it."""
    return hashlib.sha256(url.encode()).hexdigest()[:24]


def check_clients(urls: Sequence[str], allowed: Sequence[str]) -> None:
    """That a client may have messages sent there: each begins with what the operator has allowed. Raises `ErrorReply` (400)."""
    if len(urls) > MAX_URLS:
        raise errors.invalid_value("notify", f"takes {MAX_URLS} URLs at most")
    for url in urls:
        is_known = any(_begins(url.lower(), prefix.lower()) for prefix in allowed)
        # Options behind a `?` can name files of this machine and other hosts, and so can a second URL in the first.
        is_plain = _URL.fullmatch(url) and url.count("://") == 1 and "?" not in url and "/.." not in url
        if not is_plain or len(url) > _MAX_LENGTH or not is_known:
            known = f"one that begins with {', '.join(allowed)}, and has no ?" if allowed else "none on this server"
            raise errors.invalid_request(
                f"'notify' takes {known} (NIGHTSHIFT_NOTIFY_FROM_CLIENTS).", "notify", ErrorCode.INVALID_VALUE
            )


def _begins(url: str, prefix: str) -> bool:
    """A host ends where its name does: `ntfys://ntfy.sh` is no `ntfys://ntfy.sh.example.com` or `ntfys://ntfy.sh@example.com`.

    With a colon behind it, it is that host at any port, and no name and password before another: `json://host:1@example.com/`.
    """
    host = prefix.partition("://")[2]
    if not host or "/" in host:
        return url.startswith(prefix)
    return re.match(re.escape(prefix) + (r"[0-9]+/" if host.endswith(":") else "/"), url) is not None


@dataclass(frozen=True)
class TimeOfDay:
    """A wall-clock time. `zone` None: this machine's."""

    hour: int
    minute: int
    zone: tzinfo | None

    def last(self, at: float) -> float:
        """When it was last, by that second since the epoch."""
        now = datetime.fromtimestamp(at, UTC).astimezone(self.zone)
        found = now.replace(hour=self.hour, minute=self.minute, second=0, microsecond=0)
        return (found if found <= now else found - timedelta(days=1)).timestamp()


def read_time(text: str) -> TimeOfDay:
    """`07:00`, or `07:00 Europe/Berlin`. Raises `ValueError`."""
    found = _TIME.fullmatch(text.strip())
    try:
        if found is None or int(found[1]) > 23 or int(found[2]) > 59:
            raise ValueError
        return TimeOfDay(int(found[1]), int(found[2]), ZoneInfo(found[3]) if found[3] else None)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise ValueError("takes a time and, if you like, its zone, such as '07:00 Europe/Berlin'") from None
