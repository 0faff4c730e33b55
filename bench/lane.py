"""A batch by the way `batches` against one by `cli`: CPU for each line, and memory, of all that is Nightshift's.

Both are in front of the simulated API, whose own CPU does not count.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.ways import Way
from bench import batch, processes
from bench.children import BenchError
from bench.figures import ratio
from bench.gateway import Gateway
from bench.machine import describe
from bench.peaks import Peaks
from bench.run import say
from bench.table import section

if TYPE_CHECKING:
    from pathlib import Path

    from bench.gateway import Client

WORKERS = 2
#: of the batch by `batches`, and of the one by `cli`, which takes some 15 ms of CPU for each
LINES, CLI_LINES = 20_000, 400
_KINDS = ("api", "supervisor", "redis", "lane", "worker", "callbacks", "claude")


@dataclass
class Measured:
    """One batch's. CPU in seconds and memory in MiB, by kind of process, without the simulator's."""

    lines: int
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    #: the most of all processes together
    peak_sum: float = 0.0

    @property
    def per_cpu_second(self) -> float:
        """Lines that a CPU second takes from their file to the output."""
        return ratio(self.lines, sum(self.cpu.values()))

    @property
    def more_mb(self) -> float:
        """What all processes took more than before, at most."""
        return self.peak_sum - sum(self.before.values())


@dataclass
class Found:
    """All of a run."""

    ways: dict[Way, Measured]
    measured_on: dict[str, str]


def run(directory: Path, lines: int = LINES) -> Found:
    """Start both, measure one after the other, end them. Raises `BenchError`."""
    found: dict[Way, Measured] = {}
    measured_on: dict[str, str] = {}
    for way, ladder, count in ((Way.CLI, "cli", CLI_LINES), (Way.BATCHES, "batches,api", lines)):
        with ExitStack() as stack:
            say(f"starting {way}")
            gateway = Gateway(directory / f"night-{way}", WORKERS, {"NIGHTSHIFT_WAYS": ladder})
            stack.callback(gateway.close)
            gateway.wait()
            client = gateway.client()
            stack.callback(client.close)
            measured_on = describe(client.get("/health")[1])
            client.ask_in_turn(10, 0)
            # What is imported and prepared once is no line's.
            _night(gateway, client, directory / f"{way}-warm.jsonl", 20)
            say(f"a batch of {count:,} lines by {way}")
            found[way] = _night(gateway, client, directory / f"{way}.jsonl", count)
    return Found(found, measured_on)


def text(found: Found) -> str:
    """What is printed."""
    cli, lane = found.ways[Way.CLI], found.ways[Way.BATCHES]
    return "\n".join(
        [
            *(f"{name}: {value}" for name, value in found.measured_on.items()),
            *section(
                f"A batch by the way `batches`, {lane.lines:,} lines, against one of {cli.lines:,} by `cli`",
                [
                    (
                        "lines for a CPU second",
                        f"{ratio(lane.per_cpu_second, cli.per_cpu_second):.1f}",
                        f"cli {cli.per_cpu_second:.0f}, batches {lane.per_cpu_second:.0f}",
                    ),
                    ("from upload to output", f"{lane.seconds:.1f}", "s"),
                    ("memory that it takes more, all processes", f"{lane.more_mb:.0f}", "MiB"),
                    *(
                        (
                            f"of it, {kind}",
                            f"{lane.peak[kind] - lane.before[kind]:.0f}",
                            f"{lane.before[kind]:.0f} before",
                        )
                        for kind in _KINDS
                        if lane.peak[kind]
                    ),
                ],
            ),
            *section(
                "CPU of a line, ms",
                [
                    (
                        f"way `{way}`",
                        f"{1000 / one.per_cpu_second:.2f}",
                        ", ".join(f"{kind} {1000 * one.cpu[kind] / one.lines:.2f}" for kind in sorted(one.cpu)),
                    )
                    for way, one in found.ways.items()
                ],
            ),
        ]
    )


def _night(gateway: Gateway, client: Client, source: Path, lines: int) -> Measured:
    batch.write(source, lines)
    found = Measured(lines)
    meter = processes.CpuMeter([gateway.pid])
    began = time.perf_counter()
    with Peaks(gateway.pid, _KINDS) as peaks:
        batch_id = client.create_batch(client.upload(source))
        done: dict[str, Any] = batch.wait_until(client, batch_id, lambda one: one["status"] in ("completed", "failed"))
    found.seconds = time.perf_counter() - began
    found.before, found.peak, found.peak_sum = peaks.before, peaks.peak, peaks.peak_sum
    found.cpu = {kind: spent for kind, spent in meter.spent().items() if kind != "simulator"}
    if done["request_counts"]["completed"] != lines:
        raise BenchError(f"the batch did not go through: {done}")
    return found
