"""A large batch: how long until it is uploaded, validated and through, and what memory that takes.

Against it, in the same run: RQ's own `enqueue_many` with as many requests of the same size, on the same server.

The workers are played by threads that answer at once, by the same steps in Redis as ours: with a real model it is the
model that takes the time. The real worker is there, and paused.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rq import Queue

from app.connection import connect
from app.gate import Gate
from app.jobs.tickets import TASK_PATH
from bench.children import BenchError
from bench.gateway import Gateway
from bench.hands import Hands
from bench.machine import describe
from bench.peaks import Peaks
from bench.run import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.gateway import Client

#: characters of each prompt
PROMPT_CHARACTERS = 400
#: lines in flight: as many as a hundred workers would have, since those that are played take no time
IN_QUEUE = 400
_MIB = 1024 * 1024
_LOOK_SECONDS = 0.05
#: processes whose memory is looked at; the supervisor feeds
KINDS = ("api", "supervisor", "redis")
#: without an answer for so long something is wrong, seconds
_STUCK_SECONDS = 60.0


def run(directory: Path, lines: int) -> dict[str, Any]:
    """The figures. Raises `BenchError`."""
    with ExitStack() as stack:
        gateway = Gateway(directory / "gateway", workers=1, settings={"NIGHTSHIFT_BATCH_IN_QUEUE": str(IN_QUEUE)})
        stack.callback(gateway.close)
        gateway.wait()
        client = gateway.client()
        stack.callback(client.close)
        redis = stack.enter_context(connect(gateway.redis_url))
        found: dict[str, Any] = {"lines": lines, "measured_on": describe(client.get("/health")[1])}
        Gate(redis).pause(reason="the workers are played")
        source = directory / "night.jsonl"
        found["file_mb"] = write(source, lines)
        say(f"a batch of {lines:,} lines")
        with Peaks(gateway.pid, KINDS, redis) as peaks:
            found["batch"] = _batch(client, gateway.redis_url, source, lines)
        found["memory_mb"] = {"before": peaks.before, "peak": peaks.peak}
        # Last: what it leaves in the server's memory would hide what the batch takes.
        say(f"enqueue_many, {lines:,} requests")
        found["enqueue_many"] = _enqueue_many(gateway, lines)
    return found


def _batch(client: Client, redis_url: str, source: Path, lines: int) -> dict[str, float]:
    started = time.perf_counter()
    file_id = client.upload(source)
    uploaded = time.perf_counter()
    batch_id = client.create_batch(file_id)
    wait_until(client, batch_id, lambda batch: batch["status"] != "validating")
    validated = time.perf_counter()
    say(f"validated in {validated - uploaded:.1f} s; answering")
    with Hands(redis_url):
        batch = wait_until(client, batch_id, lambda batch: batch["status"] in ("completed", "failed"))
    ended = time.perf_counter()
    if batch["request_counts"]["completed"] != lines:
        raise BenchError(f"the batch did not go through: {json.dumps(batch)[:1000]}")
    return {"upload_s": uploaded - started, "validate_s": validated - uploaded, "feed_and_collect_s": ended - validated}


def wait_until(client: Client, batch_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The batch once it is so. Raises `BenchError` when it stands still."""
    moved_at, done = time.monotonic(), -1
    while time.monotonic() < moved_at + _STUCK_SECONDS:
        batch: dict[str, Any] = client.get(f"/v1/batches/{batch_id}")[1]
        if is_so(batch):
            return batch
        if batch["request_counts"]["completed"] != done:
            moved_at, done = time.monotonic(), batch["request_counts"]["completed"]
        time.sleep(_LOOK_SECONDS)
    raise BenchError(f"the batch stands still: {json.dumps(batch)[:1000]}")


def _enqueue_many(gateway: Gateway, lines: int) -> dict[str, float]:
    """One call, into a database of its own; what the server's data grow by, MiB."""
    with connect(f"{gateway.redis_url}?db=1", timeout_seconds=_STUCK_SECONDS) as redis:
        before = int(redis.info("memory")["used_memory"])
        queue = Queue("plain", connection=redis)
        started = time.perf_counter()
        # `json.dumps`: what it would have to do, too, with what a client sends.
        queue.enqueue_many([Queue.prepare_data(TASK_PATH, args=(json.dumps(body),)) for body in _bodies(lines)])
        spent = time.perf_counter() - started
        used = int(redis.info("memory")["used_memory"]) - before
    return {"s": spent, "redis_mb": used / _MIB}


def _bodies(lines: int) -> Iterator[dict[str, Any]]:
    for number in range(lines):
        prompt = f"{number}: " + "Is this review kind? ".ljust(PROMPT_CHARACTERS, "x")
        yield {"model": "haiku", "messages": [{"role": "user", "content": prompt}]}


def write(path: Path, lines: int) -> float:
    """OpenAI's lines into a file; its size, MiB."""
    with path.open("w") as file:
        for number, body in enumerate(_bodies(lines)):
            line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path.stat().st_size / _MIB
