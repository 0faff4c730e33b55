"""What each of several workers holds alone, in speed and in frugal mode, and how long one takes to start; against another checkout, in turns."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, TypeVar

import psutil

from bench import processes
from bench.children import BenchError
from bench.gateway import Gateway
from bench.run import say
from bench.table import section
from simulator.client import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: requests of a client before the next gateway has its turn
_BLOCK = 25
#: workers that are ended and started again, in each gateway
_STARTS = 5
#: what a turn takes that keeps a worker busy while another one starts, milliseconds
_LONG_MS = 3_000_000
_LONG = "a long turn"
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.005
_MIB = 1024 * 1024

_T = TypeVar("_T")


@dataclass
class Fleet:
    """A gateway and what was measured of it; memory in MiB, of each worker."""

    name: str
    gateway: Gateway
    turns: float = 0.0
    python_mb: list[float] = field(default_factory=list)
    claude_mb: list[float] = field(default_factory=list)
    #: what all of it holds, of what is shared each its part, without Redis, the API and the simulator
    together_mb: float = 0.0
    #: from a worker's process until it has a job, seconds
    starts: list[float] = field(default_factory=list)

    @property
    def alone_mb(self) -> float:
        """What a worker alone holds, with its Claude process."""
        return fmean(self.python_mb) + fmean(self.claude_mb)


def run(directory: Path, workers: int, turns: int, against: Path | None) -> list[Fleet]:
    """The other checkout's first, if there is one. Raises `BenchError`."""
    with ExitStack() as stack:
        fleets: list[Fleet] = []
        builds = [(f"{against.name}", "speed", against)] if against else []
        for name, memory, root in [*builds, ("speed", "speed", None), ("frugal", "frugal", None)]:
            settings = {
                "NIGHTSHIFT_MAX_TURNS": "1000000",
                "NIGHTSHIFT_MEMORY": memory,
                "NIGHTSHIFT_STALL_SECONDS": str(_LONG_MS),
                "NIGHTSHIFT_REQUEST_TIMEOUT_SECONDS": "3600",
            }
            gateway = Gateway(directory / f"gateway-{len(fleets)}", workers, settings, root=root)
            stack.callback(gateway.close)
            say(f"starting {name}")
            gateway.wait()
            fleets.append(Fleet(name, gateway))
        for _ in range(0, turns, _BLOCK):
            say("asking")
            for fleet in fleets:
                _ask(fleet.gateway, _BLOCK)
        for fleet in fleets:
            say(f"looking at {fleet.name}")
            _look(fleet)
            say(
                f"{fleet.name}: {fleet.alone_mb:.0f} MiB, {fmean(fleet.python_mb):.1f} of them Python's, together {fleet.together_mb:.0f}"
            )
            _occupy(fleet.gateway)
        for _ in range(_STARTS):
            say("starts")
            for fleet in fleets:
                fleet.starts.append(_start(fleet.gateway))
                say(f"{fleet.name}: {fleet.starts[-1]:.2f} s")
        return fleets


def text(fleets: list[Fleet]) -> str:
    """What is printed."""
    first = fleets[0]
    rows = []
    for fleet in fleets:
        held = f"{fleet.alone_mb:.0f} MiB (Python {fmean(fleet.python_mb):.0f}, Claude {fmean(fleet.claude_mb):.0f})"
        rows.append((f"{fleet.name}: memory that a worker alone holds", held, f"{fleet.alone_mb / first.alone_mb:.2f}"))
        together = fleet.together_mb / len(fleet.python_mb)
        share = together / (first.together_mb / len(first.python_mb))
        rows.append((f"{fleet.name}: of all that is held, a worker", f"{together:.0f} MiB", f"{share:.2f}"))
        took = f"{1000 * median(fleet.starts):.0f} ms ({1000 * min(fleet.starts):.0f} - {1000 * max(fleet.starts):.0f})"
        rows.append(
            (
                f"{fleet.name}: a worker's start until it has a job, p50",
                took,
                f"{median(fleet.starts) / median(first.starts):.2f}",
            )
        )
    turns = ", ".join(f"{fleet.turns:.0f}" for fleet in fleets)
    return "\n".join(section(f"{len(first.python_mb)} workers after {turns} turns each; / {first.name}", rows)) + "\n"


def _ask(gateway: Gateway, count: int) -> None:
    """As many clients as there are workers, each so many requests."""
    failures: list[BaseException] = []

    def ask() -> None:
        client = gateway.client()
        try:
            client.ask_in_turn(count, 0)
        except (BenchError, OSError) as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=ask) for _ in range(gateway.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BenchError(f"a client failed: {failures[0]}")


def _look(fleet: Fleet) -> None:
    fleet.turns = fmean(int(row["turns"]) for row in fleet.gateway.rows())
    for worker in processes.workers(fleet.gateway.pid):
        python, *below = [_held(process) for process in processes.tree(worker.pid)]
        fleet.python_mb.append(python[0])
        fleet.claude_mb.append(sum(one[0] for one in below))
        fleet.together_mb += python[1] + sum(one[1] for one in below)
    fleet.together_mb += sum(_held(one)[1] for one in processes.tree(fleet.gateway.pid) if processes.forks(one))


def _held(process: psutil.Process) -> tuple[float, float]:
    """(alone, with its part of what it shares), MiB."""
    found = process.memory_full_info()
    return found.uss / _MIB, found.pss / _MIB


def _occupy(gateway: Gateway) -> None:
    """All workers but one have a long turn."""
    SimulatorControl(gateway.simulator_url).add_rule({"text": "done"}, match={"contains": _LONG}, latency_ms=_LONG_MS)
    client = gateway.client()
    for _ in range(gateway.workers - 1):
        client.submit(_LONG)
    client.close()
    _wait(lambda: len(_idle(gateway)) == 1)


def _start(gateway: Gateway) -> float:
    """End the idle worker; seconds from the first sight of its successor's process until that has the job that waits for it."""
    supervisor = psutil.Process(gateway.pid)
    (old,) = _wait(lambda: found if len(found := _idle(gateway)) == 1 else [])
    before = set(supervisor.children())
    psutil.Process(old).kill()
    client = gateway.client()
    job_id = client.submit("hello")
    _wait(lambda: set(supervisor.children()) - before)
    began = time.perf_counter()
    _wait(lambda: client.get(f"/v1/jobs/{job_id}")[1]["status"] != "queued")
    took = time.perf_counter() - began
    _wait(lambda: client.get(f"/v1/jobs/{job_id}")[1]["status"] == "completed")
    client.close()
    return took


def _idle(gateway: Gateway) -> list[int]:
    """Their pids."""
    return [int(row["pid"]) for row in gateway.rows() if row["state"] == "idle" and row["alive"]]


def _wait(condition: Callable[[], _T]) -> _T:
    """What it gives, as soon as that is true. Raises `BenchError`."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not (found := condition()):
        if time.monotonic() > give_up:
            raise BenchError("what was waited for did not come about")
        time.sleep(_POLL_SECONDS)
    return found
