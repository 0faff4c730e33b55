"""CPU time and memory of the processes that are compared, by what they are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from bench.figures import WorkerMemory

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIB = 1024 * 1024
#: by what stands in a command line
_KINDS = {
    "api.server": "api",
    "workers.chat_worker": "worker",
    "workers.callback_worker": "callbacks",
    "workers.lane": "lane",
    "ops.supervisor.fork_server": "fork server",
    "simulator": "simulator",
    "ops.cli.main": "supervisor",
    "bench.bare": "python",
    "--config": "litellm",
}


class CpuMeter:
    """CPU seconds of process trees, by kind. What a process used that ended in between is missing."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._kinds = {process: _kind(process) for root in roots for process in tree(root)}
        self._before = {process: _cpu_seconds(process) for process in self._kinds}

    def spent(self) -> dict[str, float]:
        """Since the meter was made."""
        found: dict[str, float] = {}
        for process, kind in self._kinds.items():
            now = _cpu_seconds(process)
            if now:
                found[kind] = found.get(kind, 0.0) + now - self._before[process]
        return found


def tree(root: int) -> list[psutil.Process]:
    """A process and all below it."""
    with suppress(psutil.Error):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def rss_by_kind(root: int, kinds: Iterable[str]) -> dict[str, float]:
    """Resident memory below `root` of the processes of these kinds, MiB."""
    found = dict.fromkeys(kinds, 0.0)
    for process in tree(root):
        if (kind := _kind(process)) in found:
            found[kind] += _rss(process)
    return found


def workers(root: int) -> list[psutil.Process]:
    """Each Nightshift worker below `root`."""
    return [process for process in tree(root) if _kind(process) == "worker"]


def forks(process: psutil.Process) -> bool:
    """Whether workers are forked from it."""
    return _kind(process) == "fork server"


def worker_memory(root: int, turns: dict[int, int]) -> list[WorkerMemory]:
    """Each Nightshift worker below `root`; `turns` by its pid."""
    found = []
    for process in workers(root):
        below = sum(_rss(p) for p in tree(process.pid)[1:])
        found.append(WorkerMemory(_rss(process), below, turns.get(process.pid, 0)))
    return found


def _kind(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        words = process.cmdline()
        for word in words:
            if word in _KINDS:
                return _KINDS[word]
        name = process.name()
        return "redis" if "redis" in name or "valkey" in name else "claude"
    return "gone"


def _cpu_seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _rss(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(process.memory_info().rss / _MIB)
    return 0.0
