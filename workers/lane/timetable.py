"""When what is tried again is due. Of this process alone: another begins anew."""

from __future__ import annotations

import random
import time

#: the first pause after a failure, doubled each time, and the longest, seconds
BACKOFF_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0

Key = tuple[str, str]


class Timetable:
    """Pauses of each part by (batch, part), and of the sending of all."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._send_at, self._send_failures = 0.0, 0

    def is_due(self, key: Key) -> bool:
        """Whether something may be done with the part."""
        return time.monotonic() >= self._due.get(key, 0.0)

    def failures(self, key: Key) -> int:
        """How often it was put off since something was done."""
        return self._failures.get(key, 0)

    def put_off(self, key: Key, least: float | None = None) -> float:
        """Something has failed; seconds until it is due again."""
        count = self._failures[key] = self.failures(key) + 1
        seconds = _pause(count, least)
        self.look_again(key, seconds)
        return seconds

    def look_again(self, key: Key, seconds: float) -> None:
        """Nothing has failed, and there is nothing to do before that."""
        self._due[key] = time.monotonic() + seconds

    def done(self, key: Key) -> None:
        """Its next step is due at once."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def may_send(self) -> bool:
        """Whether a part may be sent."""
        return time.monotonic() >= self._send_at

    def put_off_sending(self, least: float | None) -> float:
        """The API takes no part now; seconds until it is tried again."""
        self._send_failures += 1
        seconds = _pause(self._send_failures, least)
        self._send_at = time.monotonic() + seconds
        return seconds

    def sent(self) -> None:
        """The API has taken one."""
        self._send_failures = 0


def _pause(count: int, least: float | None) -> float:
    backoff = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(count - 1, 10)) * random.uniform(0.5, 1.5)
    return max(backoff, least or 0.0)
