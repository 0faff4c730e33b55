"""One run: the stack, the clients, the killer; then quiet, the checks, the stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from chaos import checks
from chaos.checks import Findings
from chaos.clients import AsyncClient, BatchClient, Client, PartsClient, StreamClient, SyncClient
from chaos.killer import Killer
from chaos.ledger import Ledger
from chaos.machines import Machines
from chaos.receiver import Receiver
from chaos.redis_wire import RedisWire
from chaos.wires import Wires
from chaos.witness import Witness

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: to Claude, unless it is said
WAYS = "cli,batches"
_CLIENTS: Sequence[type[Client]] = (SyncClient, SyncClient, StreamClient, StreamClient, AsyncClient)
#: for the last answers, seconds
_PATIENCE_SECONDS = 180.0
_LEASE_SECONDS = 4
#: a process sleeps for so long: longer than a lease
_SLEEP_SECONDS = _LEASE_SECONDS + 3.0
_SETTINGS = {
    "NIGHTSHIFT_LEASE_SECONDS": str(_LEASE_SECONDS),
    "NIGHTSHIFT_BEAT_SECONDS": "1",
    # No job is to be dead-lettered for what the killer does.
    "NIGHTSHIFT_MAX_WORKER_DEATHS": "1000",
    "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
    "NIGHTSHIFT_CALLBACK_TIMEOUT_SECONDS": "3",
    "NIGHTSHIFT_NOTIFY_FROM_CLIENTS": "json://127.0.0.1:",
    "NIGHTSHIFT_ABANDON_GRACE_SECONDS": "1",
    "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "2",
    "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "2",
}


@dataclass
class Report:
    """What came of a run."""

    times: Counter[str]
    ledger: Ledger
    requests: int
    findings: Findings = field(default_factory=Findings)


def run(
    directory: Path,
    *,
    seconds: float,
    seed: int,
    workers: int = 2,
    batch_lines: int = 300,
    ways: str = WAYS,
    at_least: int = 0,
    storage: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Break a stack on this directory for so long and `at_least` so many times, which goes these ways to Claude.

    `storage`: the variables of a storage that both machines share. Nothing of it runs afterwards.
    """
    (directory / "tmp").mkdir()
    settings = {**_SETTINGS, **storage, "NIGHTSHIFT_WAYS": ways, "TMPDIR": str(directory / "tmp")}
    machines = Machines.on(directory, settings, workers)
    ledger = Ledger()
    try:
        machines.start()
        kinds = (BatchClient, PartsClient) if "batches" in ways else (BatchClient,)
        return _broken(machines, ledger, (seconds, at_least), seed, batch_lines, kinds=kinds)
    finally:
        machines.kill()


def _broken(
    machines: Machines,
    ledger: Ledger,
    length: tuple[float, int],
    seed: int,
    batch_lines: int,
    *,
    kinds: Sequence[type[BatchClient]],
) -> Report:
    stack, second = machines.first, machines.second
    wires = {machine.port: Wires(machine.port) for machine in (stack, second)}
    killer = Killer(machines, wires[stack.port], ledger, seed=seed, sleep_seconds=_SLEEP_SECONDS)
    witnesses = [Witness(stack, ledger), Witness(second, ledger)]
    wire = RedisWire(stack, ledger, seed=seed)
    found = Findings()
    with Receiver(ledger) as receiver:
        for witness in witnesses:
            witness.start()
        wire.start()
        clients = _clients(wires[stack.port], ledger, receiver.url, seed)
        clients += [
            kind(wires[stack.port], ledger, seed=f"{seed}-{kind.kind}", callback_url=receiver.url, lines=batch_lines)
            for kind in kinds
        ]
        there = [
            kind(
                wires[second.port],
                ledger,
                seed=f"{seed}-second-{kind.kind}",
                callback_url=receiver.url,
                lines=batch_lines // 3,
            )
            for kind in kinds
        ]
        _load_and_kill([*clients, *there], ledger, killer, length)
        wire.heal()
        ledger.note("waiting for quiet")
        checks.wait_for_quiet(stack, found)
        ledger.note("checking")
        for witness in witnesses:
            witness.stop()
        checks.check(stack, ledger, found)
    second.stop()
    if (status := stack.stop()) != 0:
        found.fault("after the stop nothing is left", f"the supervisor ended with {status}")
    wire.close()
    checks.check_stopped(stack, found)
    checks.check_repeated(ledger, found, killer.times.total() + wire.times.total())
    found.look("message batches: each request sent once", sum(witness.batched for witness in witnesses))
    for witness in witnesses:
        for request_id in witness.twice:
            found.fault("message batches: each request sent once", request_id)
    requests = sum(witness.requests for witness in witnesses)
    return Report(killer.times + wire.times, ledger, requests, found)


def _clients(wires: Wires, ledger: Ledger, callback_url: str, seed: int) -> list[Client]:
    return [
        kind(wires, ledger, seed=f"{seed}-{number}", callback_url=callback_url) for number, kind in enumerate(_CLIENTS)
    ]


def _load_and_kill(clients: Sequence[Client], ledger: Ledger, killer: Killer, length: tuple[float, int]) -> None:
    for client in clients:
        client.thread.start()
    try:
        killer.run(*length)
    finally:
        for client in clients:
            client.stop.set()
        killer.heal()
    for client in clients:
        client.thread.join(_PATIENCE_SECONDS)
        if client.thread.is_alive():
            ledger.complain(f"the {client.kind} client has waited for an answer for {_PATIENCE_SECONDS:g} s")
