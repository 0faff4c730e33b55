"""Requests that alternate between two models on one worker, with one warm process and with two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import quantile
from bench.gateway import Gateway
from bench.processes import worker_memory
from bench.table import section

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("sonnet", "haiku")
_ROUNDS = 20
_WARM_UP = 3


def run(directory: Path) -> dict[int, dict[str, float]]:
    """By the number of warm processes: milliseconds of a request, and what the worker takes in the end, MiB."""
    return {warm: _measure(directory / str(warm), warm) for warm in (1, 2)}


def text(found: dict[int, dict[str, float]]) -> str:
    """What is printed."""
    rows = [
        (
            f"NIGHTSHIFT_WARM_PROCESSES={warm}",
            f"{one['p50_ms']:.0f} / {one['p95_ms']:.0f} ms",
            f"{one['worker_mb']:.0f} MiB",
        )
        for warm, one in found.items()
    ]
    return "\n".join(section("Alternating between two models on one worker: p50 / p95, memory of the worker", rows))


def _measure(directory: Path, warm: int) -> dict[str, float]:
    gateway = Gateway(directory, 1, {"NIGHTSHIFT_WARM_PROCESSES": str(warm)})
    try:
        gateway.wait()
        client = gateway.client()
        times = [client.ask(model) for _ in range(_ROUNDS + _WARM_UP) for model in MODELS][_WARM_UP * len(MODELS) :]
        client.close()
        (worker,) = worker_memory(gateway.pid, {})
        whole = worker.python_mb + worker.claude_mb
        return {"p50_ms": quantile(times, 50), "p95_ms": quantile(times, 95), "worker_mb": whole}
    finally:
        gateway.close()
