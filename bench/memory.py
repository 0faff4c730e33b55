"""Thousands of requests and a hundred recycles on one worker: what of memory, children, descriptors, threads is left.

Looked at after each recycle, when the worker holds one fresh Claude process: so like is compared with like.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from bench.children import BenchError
from bench.gateway import Gateway
from bench.processes import tree

if TYPE_CHECKING:
    from pathlib import Path

    from bench.gateway import Client

#: turns of a Claude process before it is recycled
TURNS = 20
#: recycles before anything counts: imports, caches, the allocator's first arenas
WARM_UP = 5
_SETTLE_SECONDS = 60.0
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Look:
    """A worker right after a recycle; memory is resident, in MiB."""

    requests: int
    python_mb: float
    claude_mb: float
    children: int
    descriptors: int
    threads: int

    @property
    def tree_mb(self) -> float:
        """The worker and all below it."""
        return self.python_mb + self.claude_mb


def run(directory: Path, requests: int, recycles: int) -> list[Look]:
    """A look after each recycle, until there were so many of both. Raises `BenchError`."""
    gateway = Gateway(directory / "gateway", 1, {"NIGHTSHIFT_MAX_TURNS": str(TURNS)})
    try:
        gateway.wait()
        client = gateway.client()
        worker = psutil.Process(int(gateway.rows()[0]["pid"]))
        data = directory / "gateway"
        looks: list[Look] = []
        asked = 0
        for _ in range(WARM_UP):
            _ask_until_recycled(client, worker, data)
        while asked < requests or len(looks) < recycles:
            asked += _ask_until_recycled(client, worker, data)
            looks.append(_look(worker, asked))
        client.close()
        return looks
    finally:
        gateway.close()


def _ask_until_recycled(client: Client, worker: psutil.Process, data: Path) -> int:
    """The number of requests that it took. Until nothing of the old process is left: its directory goes last."""
    (before,) = worker.children()
    asked = 0
    while before in worker.children():
        client.ask()
        asked += 1
        if asked > 10 * TURNS:
            raise BenchError("no Claude process was recycled")
    give_up = time.monotonic() + _SETTLE_SECONDS
    while len(worker.children()) != 1 or len([*data.glob("data/workers/*/process-*")]) != 1:
        if time.monotonic() > give_up:
            raise BenchError(f"the worker keeps {len(worker.children())} Claude processes")
        time.sleep(0.02)
    return asked


def _look(worker: psutil.Process, requests: int) -> Look:
    python = worker.memory_info().rss
    whole = sum(process.memory_info().rss for process in tree(worker.pid))
    return Look(
        requests=requests,
        python_mb=python / _MIB,
        claude_mb=(whole - python) / _MIB,
        children=len(worker.children()),
        descriptors=worker.num_fds(),
        threads=worker.num_threads(),
    )
