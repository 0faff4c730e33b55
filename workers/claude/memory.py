"""Resident memory of process trees."""

from __future__ import annotations

from contextlib import suppress

import psutil

MIB = 1024 * 1024


def tree_rss_mb(pid: int | None) -> float:
    """Resident memory of a process and all its descendants, MiB; 0 when it is gone. Takes some milliseconds."""
    if pid is None:
        return 0.0
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return round(total / MIB, 1)


def own_rss_mb() -> float:
    """Resident memory of this Python process, MiB."""
    return round(psutil.Process().memory_info().rss / MIB, 1)
