"""When batch lines may run (`22:00-07:00 Europe/Berlin`: wall-clock times, through summer time), and until when (`24h`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import errors
from app.error_codes import ErrorCode

_FORM = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")
#: what `completion_window` takes, seconds
MIN_COMPLETION_SECONDS, MAX_COMPLETION_SECONDS = 3600, 7 * 24 * 3600
_UNITS = {"h": 3600, "d": 24 * 3600}
_ADVICE = "takes times and a time zone such as '22:00-07:00 Europe/Berlin'"


class WindowError(ValueError):
    """It is no window. The message says what one looks like."""


@dataclass(frozen=True)
class Window:
    """From `start` until before `end`, every day; over midnight when `end` is not after `start`."""

    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, at: float) -> bool:
        """Whether lines may start at that second (since the epoch)."""
        now = datetime.fromtimestamp(at, self.zone).time()
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end

    def next_change(self, at: float) -> float:
        """The second at which it opens, or, when it is open, closes."""
        was = self.is_open(at)
        # Wall clocks jump: the first minute that differs is looked for in real time.
        minute = at - at % 60
        for _ in range(3 * 24 * 60):
            minute += 60
            if self.is_open(minute) is not was:
                break
        return minute

    def opened_at(self, at: float) -> float:
        """The second at which it opened last, by then."""
        minute, was = at - at % 60, self.is_open(at)
        for _ in range(3 * 24 * 60):
            is_open = self.is_open(minute - 60)
            if was and not is_open:
                break
            minute, was = minute - 60, is_open
        return minute


@lru_cache(maxsize=256)
def parse(text: str) -> Window:
    """The window. Without a zone UTC is meant. Raises `WindowError`."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise WindowError(_ADVICE)
    try:
        start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        zone = ZoneInfo(found[5] or "UTC")
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise WindowError(f"{_ADVICE} ({error})") from error
    if start == end:
        raise WindowError(f"{_ADVICE}; it can't end when it begins")
    return Window(start, end, zone)


def completion_seconds(text: str) -> int:
    """The seconds of a `completion_window`: OpenAI's `24h`, and hours or days up to a week. Raises `ErrorReply` (400)."""
    found = re.fullmatch(r"([1-9]\d{0,3})([hd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not MIN_COMPLETION_SECONDS <= seconds <= MAX_COMPLETION_SECONDS:
        raise errors.invalid_request(
            "'completion_window' takes 24h, or other hours and days from 1h to 7d.",
            "completion_window",
            ErrorCode.INVALID_VALUE,
        )
    return seconds


def is_open(text: str, at: float) -> bool:
    """Whether lines may start then; an empty window is always open."""
    return not text or parse(text).is_open(at)
