"""What one Redis has to do for a job, a batch's line and a worker: commands, its CPU, bytes, connections. For docs/scaling.md.

All of it is asked by this one process, of the embedded server of a stack whose only worker is paused: what a machine does at the same time
changes these figures little, and none of them is a rate that was reached.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import worker_status
from app.connection import connect
from app.gate import Gate
from app.ids import new_request_id
from app.jobs import tickets, transitions
from app.jobs.record import JobKind, JobRecord, Status
from app.jobs.store import Jobs
from app.outcome import Outcome
from app.settings import Settings
from app.worker_status import WorkerState, WorkerStatus
from bench.batch import PROMPT_CHARACTERS
from bench.gateway import Gateway
from bench.run import say
from bench.table import section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

    from bench.table import Row

JOBS = 2000
#: how many jobs wait when one more is made, shown and taken
DEPTHS = (100, 10_000, 100_000)
#: workers whose rows are read
WORKERS = (16, 500, 5000)
_LEASE_SECONDS = 60.0
_SETTINGS = Settings(result_ttl_seconds=3600, max_queued=10**9)
_ANSWER = "It is kind. " * 20


@dataclass(frozen=True)
class Cost:
    """Of one of many: commands that Redis ran (those in scripts too), its CPU and ours in microseconds, bytes that its data grew by."""

    name: str
    commands: float
    redis_us: float
    python_us: float
    grown: float


def run(directory: Path) -> tuple[list[Cost], dict[str, float]]:
    """The costs, and connections a worker by way. Raises `BenchError`."""
    connections = {way: _connections(directory / way, way) for way in ("api", "cli")}
    gateway = Gateway(directory / "gateway", 1, {"NIGHTSHIFT_WAYS": "api"})
    try:
        gateway.wait()
        with connect(gateway.redis_url) as redis:
            Gate(redis).pause(reason="the workers are played")
            return [*_jobs(redis), *_depths(redis), *_workers(redis)], connections
    finally:
        gateway.close()


def text(costs: list[Cost], connections: dict[str, float]) -> str:
    """What is printed."""
    rows: list[Row] = [
        (
            one.name,
            f"{one.commands:6.1f} {one.redis_us:7.0f} us",
            f"our side {one.python_us:.0f} us, grown by {one.grown:,.0f} bytes",
        )
        for one in costs
    ]
    held = [(f"connections of a worker, way `{way}`", f"{count:.0f}", "") for way, count in connections.items()]
    return "\n".join([*section("Commands and CPU of Redis", rows), *section("Connections", held)])


def _connections(directory: Path, way: str) -> float:
    """That one more worker holds."""
    counts = []
    for workers in (1, 3):
        say(f"{workers} workers by {way}")
        gateway = Gateway(directory / str(workers), workers, {"NIGHTSHIFT_WAYS": way})
        try:
            gateway.wait()
            with connect(gateway.redis_url) as redis:
                counts.append(len(redis.client_list()))
        finally:
            gateway.close()
    return (counts[1] - counts[0]) / 2


def _measure(redis: Redis, name: str, count: int, do: Callable[[int], Any]) -> Cost:
    say(name)
    redis.config_resetstat()
    before, held, began = _cpu(redis), _held(redis), time.process_time()
    for number in range(count):
        do(number)
    python = time.process_time() - began
    redis_us = _cpu(redis) - before
    commands = sum(row["calls"] for row in redis.info("commandstats").values())
    return Cost(name, commands / count, 1e6 * redis_us / count, 1e6 * python / count, (_held(redis) - held) / count)


def _cpu(redis: Redis) -> float:
    found = redis.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def _held(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def _jobs(redis: Redis) -> list[Cost]:
    return [
        _measure(redis, "a job is put into the queue", JOBS, lambda number: _submit(redis, number)),
        _measure(redis, "it is taken, claimed and answered", JOBS, lambda _: _answer(redis)),
    ]


def _depths(redis: Redis) -> list[Cost]:
    found, waiting = [], 0
    for depth in DEPTHS:
        for number in range(waiting, depth):
            _submit(redis, number, "deep")
        waiting = depth

        def one(number: int, depth: int = depth) -> None:
            job_id = _submit(redis, number, f"more-{depth}")
            Jobs(redis, _SETTINGS).position(job_id)
            _answer(redis)

        found.append(_measure(redis, f"with {depth:,} before it: put, shown its place, one answered", 500, one))
    return found


def _workers(redis: Redis) -> list[Cost]:
    found, known = [], 0
    for count in WORKERS:
        for number in range(known, count):
            worker_status.write(redis, _row(number))
        known = count
        found.append(_measure(redis, f"a look at {count:,} workers", 5, lambda _: worker_status.read_all(redis)))
    found.append(_measure(redis, "a worker says how it is", JOBS, lambda _: worker_status.write(redis, _row(0))))
    return found


def _row(number: int) -> WorkerStatus:
    name = f"host-{number // 16}-worker-{number % 16 + 1}-abcdef"
    return WorkerStatus(name=name, state=WorkerState.IDLE, way="api", ways="api,cli:subscription", pid=4711)


def _submit(redis: Redis, number: int, kind: str = "job") -> str:
    now = time.time()
    prompt = f"{number}: " + "Is this review kind? ".ljust(PROMPT_CHARACTERS, "x")
    record = JobRecord(
        id=f"chatcmpl-{kind}-{number}",
        kind=JobKind.CHAT_COMPLETION,
        status=Status.QUEUED,
        model="haiku",
        created_at=now,
        deadline_at=now + 3600,
        request_id=new_request_id(),
    )
    request = {"model": "haiku", "messages": [{"role": "user", "content": prompt}]}
    Jobs(redis, _SETTINGS).submit(record, {"claude_model": "haiku", "request": request})
    return record.id


def _answer(redis: Redis) -> None:
    found = tickets.ClaudeQueue.dequeue_any([tickets.queue(redis)], None, connection=redis)
    claimed = None if found is None else transitions.claim(redis, found[0].id, "played", _LEASE_SECONDS)
    if claimed is None or claimed.request is None:
        raise RuntimeError("there is a job in the queue")
    json.loads(claimed.request)
    message = {"role": "assistant", "content": _ANSWER}
    body = {
        "id": claimed.record.id,
        "usage": {"prompt_tokens": 120, "completion_tokens": 40},
        "choices": [{"message": message}],
    }
    transitions.publish(redis, _SETTINGS, claimed.lease, Outcome(body=body, headers={"x-nightshift-cost-usd": "0.001"}))
