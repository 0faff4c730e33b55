"""One run: starts what is compared, measures it in turns, ends it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import added_bytes, processes
from bench.children import BareChild
from bench.figures import Figures, Latency, Rate, WorkerMemory
from bench.gateway import Gateway
from bench.machine import describe
from bench.sizes import CLIENTS, PAUSES_MS, SLOW_MODEL_MS
from simulator.client import SimulatorControl

if TYPE_CHECKING:
    from pathlib import Path

    from bench.gateway import Client
    from bench.sizes import Sizes


@dataclass
class _Competitors:
    """All that runs at once; who is not being measured is idle."""

    gateway: Gateway
    client: Client
    simulator: SimulatorControl
    #: warm processes, as many as the gateway has workers, wiped in the two ways
    rewind: list[BareChild]
    clear: list[BareChild]
    fresh: BareChild


def run(directory: Path, sizes: Sizes, workers: int) -> tuple[Figures, dict[str, str]]:
    """The figures, and on what they were measured. Raises `BenchError`."""
    figures = Figures({pause: Latency() for pause in PAUSES_MS}, {workers: Rate(), CLIENTS: Rate()})
    say("starting")
    with ExitStack() as stack:
        there = _start(stack, directory, workers)
        described = describe(there.client.get("/health")[1])
        figures.memory_idle = _memory(there.gateway)
        _warm_up(there, sizes)
        for number in range(1, sizes.rounds + 1):
            say(f"round {number} of {sizes.rounds}")
            _round(there, sizes, figures)
        figures.memory_after = _memory(there.gateway)
    say("bytes")
    figures.added_bytes = added_bytes.measure(directory / "bytes")
    return figures, described


def _start(stack: ExitStack, directory: Path, workers: int) -> _Competitors:
    gateway = Gateway(directory / "gateway", workers)
    stack.callback(gateway.close)
    gateway.wait()
    url = gateway.simulator_url

    def children(reset: str | None, count: int) -> list[BareChild]:
        made = []
        for index in range(count):
            made.append(BareChild(directory / f"{reset}-{index}", url, reset))
            stack.callback(made[-1].close)
        return made

    client = gateway.client()
    stack.callback(client.close)
    found = _Competitors(
        gateway,
        client,
        SimulatorControl(url),
        rewind=children("rewind", workers),
        clear=children("clear", workers),
        fresh=children(None, 1)[0],
    )
    for child in [*found.rewind, *found.clear, found.fresh]:
        child.receive()
    return found


def _warm_up(there: _Competitors, sizes: Sizes) -> None:
    for child in [*there.rewind, *there.clear]:
        child.ask(do="turns", count=sizes.warm_up_turns, pause_ms=0)
    there.client.ask_in_turn(sizes.warm_up_turns * there.gateway.workers, pause_ms=0)


def _round(there: _Competitors, sizes: Sizes, figures: Figures) -> None:
    for _ in range(sizes.latency_blocks):
        for pause, latency in figures.latency.items():
            latency.bare_ms += there.rewind[0].ask(do="turns", count=sizes.block_turns, pause_ms=pause)["ms"]
            latency.by_body_ms += there.rewind[0].ask(
                do="turns", count=sizes.block_turns, pause_ms=pause, by_body=True
            )["ms"]
            latency.gateway_ms += there.client.ask_in_turn(sizes.block_turns, pause)
    found = there.fresh.ask(do="fresh", count=sizes.fresh_turns, parallel=1)
    figures.fresh_answer_ms += found["answer_ms"]
    figures.fresh_whole_ms += found["whole_ms"]
    _gateway_rate(there, figures.gateway, sizes.seconds)
    _bare_rate(there.rewind, figures.bare_rewind, sizes.seconds)
    _bare_rate(there.clear, figures.bare_clear, sizes.seconds)
    for parallel, rate in figures.fresh.items():
        found = there.fresh.ask(do="fresh", count=sizes.fresh_parallel_turns, parallel=parallel)
        rate.add(len(found["answer_ms"]), found["seconds"])
    there.simulator.add_rule(latency_ms=SLOW_MODEL_MS)
    try:
        _bare_rate(there.rewind, figures.slow_bare, sizes.seconds)
        _gateway_rate(there, figures.slow_gateway, sizes.seconds)
    finally:
        there.simulator.clear_rules()
    there.simulator.clear_requests()


def _gateway_rate(there: _Competitors, rate: Rate, seconds: float) -> None:
    meter = processes.CpuMeter([there.gateway.pid])
    times = there.gateway.ask_for(CLIENTS, seconds)
    rate.add_cpu(len(times), meter.spent())
    # Between the first answer of each worker and the last one before the clients stop, all workers are busy.
    workers = there.gateway.workers
    busy = [at for at in times if at <= seconds][workers - 1 :]
    # Whole rounds of all workers: they tend to answer at the same moment, and a part of a round would count too little.
    count = (len(busy) - 1) // workers * workers
    if count > 0:
        rate.add(count, busy[count] - busy[0])


def _bare_rate(children: list[BareChild], rate: Rate, seconds: float) -> None:
    meter = processes.CpuMeter([child.pid for child in children])
    for child in children:
        child.send(do="loop", seconds=seconds)
    answers = [child.receive() for child in children]
    turns = sum(answer["turns"] for answer in answers)
    rate.add_cpu(turns, meter.spent())
    rate.add(turns, sum(answer["seconds"] for answer in answers) / len(answers))


def _memory(gateway: Gateway) -> list[WorkerMemory]:
    turns = {int(row["pid"]): int(row["turns"]) for row in gateway.rows()}
    return processes.worker_memory(gateway.pid, turns)


def say(line: str) -> None:
    """Progress goes where errors go: output is the table."""
    sys.stderr.write(f"bench: {line} ...\n")
    sys.stderr.flush()
