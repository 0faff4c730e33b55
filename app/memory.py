"""How much memory a process holds, so that the sum over several is what all of them hold."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

MIB = 1024 * 1024
#: how old a figure may be, seconds: the kernel takes a millisecond for one
_FRESH_SECONDS = 1.0


def held_mb(process: psutil.Process) -> float:
    """MiB: what it alone holds, and its part of what it shares with others (PSS). Raises `psutil.Error` when it is gone.

    Workers are forked, and share most of what is resident: their resident sizes add up to several times what they hold. Where only
    that is known (on macOS, and of other users' processes), it is taken.
    """
    with suppress(psutil.AccessDenied):
        found = process.memory_full_info() if psutil.LINUX else None
        if found is not None:
            return float(found.pss / MIB)
    return float(process.memory_info().rss / MIB)


class OwnMemory:
    """This process's, for those who ask often."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._mb, self._until = 0.0, 0.0

    def mb(self) -> float:
        """As `held_mb`, MiB, a second old at most."""
        if (now := time.monotonic()) >= self._until:
            self._mb, self._until = round(held_mb(self._process), 1), now + _FRESH_SECONDS
        return self._mb
