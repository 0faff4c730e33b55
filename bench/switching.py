"""Requests that alternate between two models on one worker with one warm process, against requests for one model."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

from bench.figures import quantile, ratio
from bench.gateway import Gateway
from bench.processes import worker_memory
from bench.table import section

if TYPE_CHECKING:
    from pathlib import Path

#: with their aliases a running process changes, with their full ids another is started
MODELS = {
    "the same again": ("sonnet",),
    "two aliases": ("sonnet", "haiku"),
    "two ids": ("claude-sonnet-5-5", "claude-haiku-5-5"),
}
_ROUNDS = 20
_WARM_UP = 3


def run(directory: Path) -> dict[str, dict[str, float]]:
    """By what is asked for: milliseconds of a request, and what the worker takes in the end, MiB."""
    return {name: _measure(directory / str(number), models) for number, (name, models) in enumerate(MODELS.items())}


def text(found: dict[str, dict[str, float]]) -> str:
    """What is printed."""
    same = found["the same again"]["p50_ms"]
    rows = [
        (
            name,
            f"{ratio(one['p50_ms'], same):.2f}",
            f"{one['p50_ms']:.0f} / {one['p95_ms']:.0f} ms, {one['worker_mb']:.0f} MiB",
        )
        for name, one in found.items()
    ]
    return "\n".join(section("A request for another model than the last, p50 / the same model's", rows))


def _measure(directory: Path, models: tuple[str, ...]) -> dict[str, float]:
    gateway = Gateway(directory, 1, {"NIGHTSHIFT_WARM_PROCESSES": "1"})
    try:
        gateway.wait()
        client = gateway.client()
        asked = chain.from_iterable(repeat(models, 2 * (_ROUNDS + _WARM_UP) // len(models)))
        times = [client.ask(model) for model in asked][2 * _WARM_UP :]
        client.close()
        (worker,) = worker_memory(gateway.pid, {})
        whole = worker.python_mb + worker.claude_mb
        return {"p50_ms": quantile(times, 50), "p95_ms": quantile(times, 95), "worker_mb": whole}
    finally:
        gateway.close()
