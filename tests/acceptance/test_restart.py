"""`nightshift restart`: everything is replaced under load, and no request notices; plain HTTP, no retries."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from chaos.stack import ROOT, command_of
from tests.acceptance.stack import Stack, stack_fixture
from tests.redis_server import wait_until

PARTS = ("api.server", "workers.chat_worker", "workers.callback_worker", "ops.supervisor.fork_server")

#: a stack whose processes are replaced
shared_stack = stack_fixture("module")


def restart(stack: Stack) -> None:
    argv = [sys.executable, "-m", "ops.cli.main", "restart", "--data-dir", str(stack.data_dir)]
    begun = restarts_begun(stack)
    subprocess.run(argv, cwd=ROOT, check=True, timeout=120)
    wait_until(lambda: restarts_begun(stack) > begun, "the restart's beginning")


def restarts_begun(stack: Stack) -> int:
    return stack.log.read_text().count("\nRestarting: ")


def processes(stack: Stack) -> set[psutil.Process]:
    """What a restart replaces."""
    return {p for p in stack.processes() if any(part in command_of(p) for part in PARTS)}


def body(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "sonnet", "messages": [{"role": "user", "content": prompt}], **fields}


def answer(stack: Stack, prompt: str) -> str:
    """Of a request that waits."""
    reply = stack.http("POST", "/v1/chat/completions", body(prompt), timeout=120)
    assert reply.status == 200, reply.body
    return str(reply.body["choices"][0]["message"]["content"])


def streamed(stack: Stack, prompt: str) -> str:
    """Of one that reads along."""
    data = json.dumps(body(prompt, stream=True)).encode()
    request = urllib.request.Request(f"{stack.url}/v1/chat/completions", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        events = [line[6:] for line in response.read().decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    chunks = [json.loads(event) for event in events[:-1]]
    assert not [chunk for chunk in chunks if "error" in chunk]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def test_a_restart_under_load(stack: Stack) -> None:
    """With 100 clients who wait or read along, and others who keep coming, all is replaced once, and each has its answer."""
    stack.simulator.add_rule({"echo": True}, latency_ms=20)
    before = processes(stack)
    # None is answered before all wait, however slowly they come. They would not wait for the end of a pause without one.
    stack.http("POST", "/v1/gate/pause", {"until": time.time() + 300})
    is_over = threading.Event()

    def keep_coming(number: int) -> int:
        count = 0
        while not is_over.is_set():
            assert f"late {number}-{count} " in answer(stack, f"late {number}-{count} ")
            count += 1
        return count

    with ThreadPoolExecutor(102) as pool:
        waiting = {f"wait {n} ": pool.submit(answer, stack, f"wait {n} ") for n in range(50)}
        waiting |= {f"read {n} ": pool.submit(streamed, stack, f"read {n} ") for n in range(50)}
        wait_until(lambda: stack.http("GET", "/health").body["waiting"] == 100, "clients who wait")
        coming = [pool.submit(keep_coming, number) for number in range(2)]
        try:
            restart(stack)
            stack.http("POST", "/v1/gate/resume")
            wait_until(lambda: "\nRestarted." in stack.log.read_text(), "the restart", 180)
        finally:
            is_over.set()
        assert all(prompt in one.result() for prompt, one in waiting.items())
        assert all(one.result() > 0 for one in coming)
    _, left = psutil.wait_procs(before, timeout=120)
    assert left == []
    assert len(processes(stack)) == len(before)
    prompts = [one["messages"][-1]["content"] for one in stack.asked("wait ")]
    assert len(prompts) == 50


def test_a_turn_takes_its_time(stack: Stack) -> None:
    """A worker that is replaced finishes its turn, longer than a stop would let it, in its first attempt."""
    stack.simulator.add_rule({"text": "slow"}, latency_ms=7000, times=1)
    job_id = stack.submit("the long one")
    wait_until(lambda: len(stack.asked("the long one")) == 1, "the request at Claude's")
    restart(stack)
    job = stack.wait_for(job_id)
    assert (job["status"], job["attempts"]) == ("completed", 1)
    assert len(stack.asked("the long one")) == 1


def test_a_stop_in_mid_restart(stack: Stack) -> None:
    """Whoever asks to stop while processes are replaced need not wait for the rest of them. The module's last test."""
    restart(stack)
    assert stack.stop() == 0
