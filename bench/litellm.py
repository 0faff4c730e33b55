"""LiteLLM's proxy, the gateway that people use for this, beside Nightshift: the same clients, the same simulated API, in turns.

It has no queue: what it holds is lost when it ends. Nightshift is measured as it always is, with its durable queue.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.ways import OF_WORKERS
from bench import processes
from bench.children import BenchError, end, environment
from bench.figures import Rate, quantile, ratio
from bench.gateway import Client, Gateway, ask_for
from bench.machine import describe
from bench.run import say
from bench.table import section
from simulator.process import running_simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.sizes import Sizes

VERSION = "1.99.4"
NAME = f"LiteLLM {VERSION}"
WORKERS = 2
CLIENTS = 16
_START_SECONDS = 120.0
#: no cost map, no telemetry, no log of requests, no retries, no database: it does what it is asked, and nothing else
_CONFIG = {
    "litellm_settings": {"telemetry": False, "num_retries": 0, "request_timeout": 60},
    "general_settings": {},
}
_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}


@dataclass
class Measured:
    """One gateway's."""

    #: of one client, milliseconds
    latency_ms: list[float] = field(default_factory=list)
    #: of all clients
    rate: Rate = field(default_factory=Rate)


@dataclass
class Found:
    """All of a run, by the gateway's name; Nightshift's are its ways."""

    gateways: dict[str, Measured]
    measured_on: dict[str, str] = field(default_factory=dict)


class Proxy:
    """A running LiteLLM, one process. `venv`: where it is installed, made if it is not there; `api`: what it asks."""

    def __init__(self, venv: Path, directory: Path, api: str) -> None:
        _install(venv)
        # It imports modules from two directories above the one it is started in.
        directory = directory / "above" / "below"
        directory.mkdir(parents=True)
        config = directory / "config.yaml"
        model = {"model": "anthropic/claude-sonnet-5-5", "api_base": api, "api_key": "bench", "max_tokens": 32_000}
        # JSON is YAML, too.
        config.write_text(json.dumps({"model_list": [{"model_name": "sonnet", "litellm_params": model}], **_CONFIG}))
        self._port = _free_port()
        self._log = directory / "log"
        argv = [venv / "bin/litellm", "--config", config, "--host", "127.0.0.1", "--port", str(self._port)]
        # As long as Nightshift keeps them.
        argv += ["--keepalive_timeout", "75"]
        env = {**environment(directory, **_ENVIRONMENT), "PYTHONPATH": ""}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(word) for word in argv], env=env, cwd=directory, stdout=log, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def client(self) -> Client:
        """A new client."""
        return Client(self._port)

    def wait(self) -> None:
        """Until it answers. Raises `BenchError`."""
        give_up = time.monotonic() + _START_SECONDS
        while True:
            with suppress(OSError, BenchError):
                client = self.client()
                try:
                    client.ask()
                finally:
                    client.close()
                return
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise BenchError(f"LiteLLM did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.5)

    def close(self) -> None:
        """End it."""
        end(self._process)


def run(directory: Path, sizes: Sizes, venv: Path | None) -> Found:
    """Start all, measure them in turns, end them. Raises `BenchError`."""
    with running_simulator() as simulator, ExitStack() as stack:
        api = simulator.base_url
        say(f"starting {NAME}")
        gateways: dict[str, Proxy | Gateway] = {NAME: Proxy(venv or directory / "venv", directory / "litellm", api)}
        stack.callback(gateways[NAME].close)
        for way in OF_WORKERS:
            say(f"starting {way}")
            gateways[way] = Gateway(directory / way, WORKERS, {"NIGHTSHIFT_WAYS": way}, api=api)
            stack.callback(gateways[way].close)
        found = Found({name: Measured() for name in gateways})
        clients: dict[str, Client] = {}
        for name, gateway in gateways.items():
            gateway.wait()
            clients[name] = gateway.client()
            stack.callback(clients[name].close)
            clients[name].ask_in_turn(sizes.warm_up_turns * WORKERS, 0)
        found.measured_on = describe(clients[OF_WORKERS[0]].get("/health")[1])
        order = [*gateways]
        for number in range(sizes.rounds):
            say(f"round {number + 1} of {sizes.rounds}")
            for _ in range(sizes.latency_blocks):
                for name in order:
                    found.gateways[name].latency_ms += clients[name].ask_in_turn(sizes.block_turns, 0)
                order.reverse()
            for name in order:
                _measure_rate(found.gateways[name].rate, gateways[name], simulator.process.pid, sizes.seconds)
    return found


def _measure_rate(rate: Rate, gateway: Proxy | Gateway, simulator: int, seconds: float) -> None:
    meter = processes.CpuMeter([gateway.pid, simulator])
    times = ask_for(gateway.client, CLIENTS, seconds)
    rate.add(len(times), max(times))
    rate.add_cpu(len(times), meter.spent())


def text(found: Found) -> str:
    """What is printed."""
    theirs = found.gateways[NAME]

    def row(what: str, value: Callable[[Measured], float], unit: str) -> tuple[str, str, str]:
        values = {name: value(one) for name, one in found.gateways.items()}
        ratios = ", ".join(f"{way} {ratio(values[way], value(theirs)):.2f}" for way in OF_WORKERS)
        return what, ratios, ", ".join(f"{name} {number:.1f}" for name, number in values.items()) + f" {unit}"

    return "\n".join(
        [
            *(f"{name}: {value}" for name, value in found.measured_on.items()),
            *section(
                f"Nightshift ({WORKERS} workers, durable queue) / {NAME} (one process, no queue)",
                [
                    row("latency of one client, p50", lambda one: quantile(one.latency_ms, 50), "ms"),
                    row("latency of one client, p99", lambda one: quantile(one.latency_ms, 99), "ms"),
                    row(f"answers a second, {CLIENTS} clients", lambda one: one.rate.per_second, "/s"),
                    row("CPU of an answer, the API's included", lambda one: one.rate.cpu_ms(), "ms"),
                ],
            ),
        ]
    )


def _install(venv: Path) -> None:
    """By the user's own index, into an environment of its own: it wants other versions of much that Nightshift uses."""
    if (venv / "bin/litellm").exists():
        return
    say(f"installing {NAME}")
    for argv in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", f"litellm[proxy]=={VERSION}"],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{NAME} can't be installed:\n{done.stderr[-2000:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
