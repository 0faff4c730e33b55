"""No room: a full Redis, a full disk under it, a full disk under the batches. Refused with the reason, and nothing is lost.

The disk is full for a process whose files may not grow (RLIMIT_FSIZE): that needs no root, and no other process feels it.
"""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import openai
import psutil
import pytest

from chaos.stack import command_of
from tests.acceptance.stack import Stack, stack_fixture
from tests.acceptance.test_batches import line, read, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit, which Linux has")

#: a stack whose rooms the tests fill up and clear again
own_stack = stack_fixture("module", settings={"NIGHTSHIFT_LEASE_SECONDS": "4", "NIGHTSHIFT_BEAT_SECONDS": "1"})


@contextmanager
def no_file_grows(*processes: psutil.Process, beyond: int = 0) -> Iterator[None]:
    """No file that these processes write may grow beyond so many bytes."""
    before = [(p.pid, resource.prlimit(p.pid, resource.RLIMIT_FSIZE)) for p in processes]
    for pid, (_, hard) in before:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        for pid, limit in before:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def process(stack: Stack, *names: str) -> list[psutil.Process]:
    found = [p for p in stack.processes() if any(name in command_of(p) for name in names)]
    assert found
    return found


def running_job(stack: Stack, prompt: str) -> str:
    """A job that runs; its answer is held back."""
    stack.simulator.add_rule({"text": f"the answer to {prompt}", "held": True}, match={"contains": prompt})
    job_id = stack.submit(prompt)
    wait_until(lambda: len(stack.asked(prompt)) == 1, "the request at Claude's")
    return job_id


def body(prompt: str) -> dict[str, Any]:
    return {"model": "sonnet", "messages": [{"role": "user", "content": prompt}]}


def refusal(stack: Stack, code: str) -> None:
    """All that would write is refused with this code, the reason, and when to come back; what only reads is not."""

    def refused() -> bool:
        # What comes before Redis has noticed is accepted, and must not be waited for.
        reply = stack.http("POST", "/v1/chat/completions", body("x"), {"Prefer": "respond-async"})
        return reply.status == 503 and reply.body["error"]["code"] == code and int(reply.headers["Retry-After"]) > 0

    wait_until(refused, f"503 {code}")
    streamed = stack.http("POST", "/v1/chat/completions", {**body("x"), "stream": True})
    assert (streamed.status, streamed.body["error"]["code"]) == (503, code)
    assert stack.http("GET", "/v1/jobs").status == 200


def answered_once(stack: Stack, job_id: str, prompt: str) -> None:
    job = stack.wait_for(job_id)
    assert (job["status"], job["attempts"]) == ("completed", 1)
    assert job["result"]["choices"][0]["message"]["content"] == f"the answer to {prompt}"
    assert len(stack.asked(prompt)) == 1


def worker_waits(stack: Stack) -> None:
    """The answer is given, and a worker has it and can't publish it."""
    before = stack.log.read_text().count("reason=waiting for Redis")
    stack.simulator.clear_rules()
    wait_until(
        lambda: stack.log.read_text().count("reason=waiting for Redis") > before, "a worker that keeps its answer"
    )


def test_a_full_redis(own_stack: Stack) -> None:
    """With Redis full, requests are refused; the answer of a job that runs is kept, and published when there is room."""
    job_id = running_job(own_stack, "while memory is short")
    own_stack.redis.config_set("maxmemory", 1)
    refusal(own_stack, "redis_full")
    worker_waits(own_stack)
    own_stack.redis.config_set("maxmemory", 0)
    answered_once(own_stack, job_id, "while memory is short")
    assert own_stack.ask("room again").startswith("Simulated answer")


def test_a_full_disk_under_redis(own_stack: Stack) -> None:
    """The same with a Redis that can't write its file; killed after it, it has all that was accepted."""
    job_id = running_job(own_stack, "while the disk is full")
    (server,) = process(own_stack, "valkey-server", "redis-server")
    with no_file_grows(server):
        refusal(own_stack, "redis_cannot_save")
        worker_waits(own_stack)
    answered_once(own_stack, job_id, "while the disk is full")
    server.kill()
    wait_until(lambda: own_stack.http("GET", "/health/ready").status == 200, "the stack again")
    answered_once(own_stack, job_id, "while the disk is full")


def test_a_full_disk_under_the_batches(own_stack: Stack) -> None:
    """An upload is refused; a supervisor that can't write starts dead workers again, and does the batch when it can."""
    lines = [line(f"n{number}") for number in range(12)]
    with no_file_grows(*process(own_stack, "api.server")), pytest.raises(openai.InternalServerError) as refused:
        start(own_stack, lines)
    assert (refused.value.status_code, refused.value.code) == (503, "storage_full")
    assert own_stack.process is not None
    with no_file_grows(psutil.Process(own_stack.process.pid)):
        batch_id = start(own_stack, lines).id
        victim = own_stack.worker_processes()[0]
        victim.kill()
        victim.wait(120)
        wait_until(lambda: len(own_stack.worker_processes()) == 2, "the worker")
        assert own_stack.client().batches.retrieve(batch_id).status == "validating"
    batch = wait(own_stack, batch_id)
    assert batch.status == "completed"
    found = [one["custom_id"] for one in read(own_stack, batch.output_file_id)]
    assert sorted(found) == sorted(one["custom_id"] for one in lines)
