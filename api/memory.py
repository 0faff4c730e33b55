"""Resident memory of the whole product, measured on its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MIB = 1024 * 1024
_REDIS_NAMES = ("valkey-server", "redis-server")


def tree(supervisor_pid: int | None) -> list[psutil.Process]:
    """The supervisor's processes; this process' own when there is no supervisor (any more)."""
    for pid in (supervisor_pid, None):
        try:
            root = psutil.Process(pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
    return []


def measure(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """MiB by part: `claude`, `redis`, and `python` for all else. A process that ends meanwhile counts nothing."""
    parts = {"python": 0.0, "claude": 0.0, "redis": 0.0}
    for part, rss in _each(processes):
        parts[part] += rss / _MIB
    return {part: round(size, 1) for part, size in parts.items()}


def _each(processes: Iterable[psutil.Process]) -> Iterator[tuple[str, int]]:
    for process in processes:
        try:
            name, rss = process.name().lower(), process.memory_info().rss
        except psutil.Error:
            continue
        if name.startswith(_REDIS_NAMES):
            yield "redis", rss
        else:
            yield ("claude" if name.startswith("claude") else "python"), rss
