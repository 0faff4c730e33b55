"""The ways to Claude against each other: the same prompts to the same simulated API, by `cli` and by `api`, in turns."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from app.messages import to_claude
from app.settings import Settings
from app.ways import OF_WORKERS, Step, Way
from bench import processes
from bench.figures import Rate, quantile, ratio
from bench.gateway import Gateway
from bench.machine import describe
from bench.run import say
from bench.sizes import CLIENTS, PROMPT
from bench.table import section
from workers.messages_api import ApiEngine

if TYPE_CHECKING:
    from pathlib import Path

    from bench.gateway import Client
    from bench.sizes import Sizes

WORKERS = 2
_MIB = 1024 * 1024
_ASK_SECONDS = 60.0


@dataclass
class Measured:
    """One way's. Times are milliseconds, memory is MiB that a worker and its children alone hold."""

    #: of one client, through the whole gateway
    gateway_ms: list[float] = field(default_factory=list)
    rate: Rate = field(default_factory=Rate)
    worker_mb: list[float] = field(default_factory=list)


@dataclass
class Found:
    """All of a run."""

    ways: dict[Way, Measured]
    #: the simulator, asked as the API is, without anything between
    direct_ms: list[float] = field(default_factory=list)
    #: the engine of the way `api`, without queue or gateway
    engine_ms: list[float] = field(default_factory=list)
    measured_on: dict[str, str] = field(default_factory=dict)

    def added_ms(self, values: list[float], percent: int) -> float:
        """What is added to the simulator's own answer: the difference of the two quantiles."""
        return quantile(values, percent) - quantile(self.direct_ms, percent)


def run(directory: Path, sizes: Sizes) -> Found:
    """Start both, measure them in turns, end them. Raises `BenchError`."""
    found = Found({way: Measured() for way in OF_WORKERS})
    with ExitStack() as stack:
        gateways: dict[Way, Gateway] = {}
        clients: dict[Way, Client] = {}
        for way in OF_WORKERS:
            say(f"starting {way}")
            gateways[way] = Gateway(directory / way, WORKERS, {"NIGHTSHIFT_WAYS": way})
            stack.callback(gateways[way].close)
            gateways[way].wait()
            clients[way] = gateways[way].client()
            stack.callback(clients[way].close)
        url = gateways[Way.API].simulator_url
        settings = Settings.from_environment(
            {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "bench", "NO_PROXY": "127.0.0.1"},
            data_dir=directory,
            ways=(Step(Way.API),),
            claude_home=directory,
        )
        engine = stack.enter_context(ApiEngine(settings, name="bench"))
        direct = _Direct(url)
        stack.callback(direct.close)
        found.measured_on = describe(clients[Way.CLI].get("/health")[1])
        for client in clients.values():
            client.ask_in_turn(sizes.warm_up_turns * WORKERS, 0)
        _engine_ms(engine, sizes.warm_up_turns)
        for number in range(sizes.rounds):
            say(f"round {number + 1} of {sizes.rounds}")
            for _ in range(sizes.latency_blocks):
                found.direct_ms += [direct.ask() for _ in range(sizes.block_turns)]
                found.engine_ms += _engine_ms(engine, sizes.block_turns)
                for way, client in clients.items():
                    found.ways[way].gateway_ms += client.ask_in_turn(sizes.block_turns, 0)
            for way, gateway in gateways.items():
                meter = processes.CpuMeter([gateway.pid])
                times = gateway.ask_for(CLIENTS, sizes.seconds)
                found.ways[way].rate.add(len(times), max(times))
                found.ways[way].rate.add_cpu(len(times), meter.spent())
        for way, gateway in gateways.items():
            found.ways[way].worker_mb = _held_alone(gateway.pid)
    return found


def text(found: Found) -> str:
    """What is printed."""
    cli, api = found.ways[Way.CLI], found.ways[Way.API]
    memory = [sum(one.worker_mb) / len(one.worker_mb) for one in (cli, api)]
    return "\n".join(
        [
            *(f"{name}: {value}" for name, value in found.measured_on.items()),
            *section(
                "The way `api` against `cli`, two workers, the same prompts",
                [
                    ("memory that a worker alone holds", f"{ratio(memory[1], memory[0]):.2f}", _pair(memory, "MiB")),
                    (
                        f"throughput, {CLIENTS} clients",
                        f"{ratio(api.rate.per_second, cli.rate.per_second):.1f}",
                        _pair([cli.rate.per_second, api.rate.per_second], "/s"),
                    ),
                    (
                        "latency of one client, p50",
                        f"{ratio(quantile(api.gateway_ms, 50), quantile(cli.gateway_ms, 50)):.2f}",
                        _pair([quantile(one.gateway_ms, 50) for one in (cli, api)], "ms"),
                    ),
                ],
            ),
            *section(
                "CPU of a request, ms (what else the machine does matters least here)",
                [(f"way `{way}`", f"{one.rate.cpu_ms():.1f}", _by_kind(one.rate)) for way, one in found.ways.items()],
            ),
            *section(
                "Added to the simulator's own answer, p50 / p99, ms",
                [
                    ("the simulator itself", _quantiles(found.direct_ms), ""),
                    ("by the engine `api` alone", _added(found, found.engine_ms), ""),
                    ("by the whole gateway, way `api`", _added(found, api.gateway_ms), ""),
                    ("by the whole gateway, way `cli`", _added(found, cli.gateway_ms), ""),
                ],
            ),
        ]
    )


def _pair(values: list[float], unit: str) -> str:
    return f"cli {values[0]:.1f}, api {values[1]:.1f} {unit}"


def _by_kind(rate: Rate) -> str:
    return ", ".join(f"{kind} {rate.cpu_ms(kind):.1f}" for kind in sorted(rate.cpu_seconds))


def _quantiles(values: list[float]) -> str:
    return f"{quantile(values, 50):.1f} / {quantile(values, 99):.1f}"


def _added(found: Found, values: list[float]) -> str:
    return f"{found.added_ms(values, 50):.1f} / {found.added_ms(values, 99):.1f}"


class _Direct:
    """The simulator, asked for a stream as both ways ask for it, on one connection."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=_ASK_SECONDS)
        body: dict[str, Any] = {"model": "claude-sonnet-5-5", "max_tokens": 32000, "stream": True}
        self._body = json.dumps(body | {"messages": [{"role": "user", "content": PROMPT}]})

    def ask(self) -> float:
        started = time.perf_counter()
        self._connection.request("POST", "/v1/messages", self._body, {"content-type": "application/json"})
        self._connection.getresponse().read()
        return 1000 * (time.perf_counter() - started)

    def close(self) -> None:
        self._connection.close()


def _engine_ms(engine: ApiEngine, count: int) -> list[float]:
    request = to_claude(
        {"claude_model": "sonnet", "request": {"model": "sonnet", "messages": [{"role": "user", "content": PROMPT}]}}
    )
    found = []
    for _ in range(count):
        started = time.perf_counter()
        engine.ask(request, time.monotonic() + _ASK_SECONDS)
        found.append(1000 * (time.perf_counter() - started))
    return found


def _held_alone(root: int) -> list[float]:
    """Of each worker below `root`: the pages that would be free if it and its children ended."""
    found = []
    for worker in processes.workers(root):
        held = 0
        for process in processes.tree(worker.pid):
            with suppress(psutil.Error):
                held += process.memory_full_info().uss
        found.append(held / _MIB)
    return found
