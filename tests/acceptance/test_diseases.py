"""The diseases of the wrapper that Nightshift replaces. Each test fails when the cure is taken out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import psutil
import pytest

from chaos.until import PATIENCE_SECONDS
from tests.acceptance.stack import Stack, mended_fixture, stack_fixture
from tests.redis_server import wait_until


def test_no_request_sees_another(stack: Stack) -> None:
    """Answers bled into each other: of 80 requests, failed and cancelled ones among them, each carries its own secret only."""
    stack.simulator.add_rule({"error": {"status": 400}}, match={"contains": "-will-fail"})
    stack.simulator.add_rule({"hang_seconds": 30}, match={"contains": "-will-hang"})

    def ask(number: int) -> None:
        kind = {7: "-will-fail", 31: "-will-hang"}.get(number % 40, "")
        try:
            stack.client(timeout=1.0 if kind == "-will-hang" else 120.0).chat.completions.create(
                model="sonnet", messages=[{"role": "user", "content": f"secret-{number:04d}{kind}"}]
            )
        except openai.OpenAIError:
            assert kind

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(80)))
    bodies = [str(body["messages"]) for body in stack.asked("secret-")]
    assert len(bodies) >= 80
    for body in bodies:
        assert body.count("secret-") == 1, body


def test_calls_do_not_grow(stack: Stack) -> None:
    """Calls slowed from 6 s to 127 s because each carried all before it: the twentieth request is as big as the first."""
    for number in range(20):
        stack.ask(f"same size {number:02d}")
    sizes = {len(str(body)) for body in stack.asked("same size")}
    messages = {len(body["messages"]) for body in stack.asked("same size")}
    assert messages == {1}
    assert max(sizes) - min(sizes) < 100


@pytest.mark.parametrize("status", [400, 401, 500, 529])
def test_an_error_is_never_an_answer(stack: Stack, status: int) -> None:
    """Error texts were stored as answers and failed rows marked done: an API error has no result, and is not completed."""
    text = f"error text {status}"
    stack.simulator.add_rule({"error": {"status": status, "message": text}}, times=None)
    job_id = stack.submit("anything")
    if status == 400:
        job = stack.wait_for(job_id)
        assert job["status"] == "failed"
    else:
        wait_until(lambda: len(stack.asked("anything")) >= 1, "the request")
        wait_until(lambda: stack.job(job_id)["status"] != "in_progress", "the end of the run")
        job = stack.job(job_id)
        assert job["status"] in ("queued", "failed")
    assert job.get("result") is None
    stack.simulator.clear_rules()
    stack.http("POST", f"/v1/jobs/{job_id}/cancel")
    if status == 401:
        wait_until(lambda: stack.http("GET", "/health/ready").status == 200, "the login to be tried again")


def test_usage_is_reported_not_invented(stack: Stack) -> None:
    """Usage was made up: whatever numbers Claude reports come back, and no others."""
    stack.simulator.add_rule({"text": "x", "usage": {"input_tokens": 4711, "output_tokens": 815}})
    answer = stack.client().chat.completions.create(model="sonnet", messages=[{"role": "user", "content": "count"}])
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4711, 815)


#: a stack with a login that has usage limits
subscription = stack_fixture(settings={"NIGHTSHIFT_OFFLINE_LOGIN": "subscription"})
#: a stack that the tests may break
broken_stack = stack_fixture("module")
own_stack = mended_fixture("broken_stack")


def test_a_usage_limit_costs_no_request(subscription: Stack) -> None:
    """A usage limit turned the rest of the night into errors: now everything waits for the reset, and completes."""
    limit: dict[str, Any] = {"usage_limit": {"status": "rejected", "resets_in_seconds": 4, "type": "five_hour"}}
    subscription.simulator.add_rule(limit, times=2)
    jobs = [subscription.submit(f"night {number}") for number in range(12)]
    finished = [subscription.wait_for(job_id) for job_id in jobs]
    assert {job["status"] for job in finished} == {"completed"}
    assert {job["attempts"] for job in finished} == {1}


def test_a_killed_worker_leaves_nothing_and_loses_nothing(own_stack: Stack) -> None:
    """Orphaned Claude processes ate 9.7 GB: after a kill -9 of a worker its Claude is gone, and its job is answered."""
    own_stack.simulator.add_rule({"text": "slow answer"}, latency_ms=1500, times=1)
    job_id = own_stack.submit("survive")
    worker_name = own_stack.wait_for(job_id, "in_progress")
    assert worker_name
    family = [(worker, worker.children(recursive=True)) for worker in own_stack.worker_processes()]
    for claude in own_stack.claude_processes():
        claude.suspend()  # so that it can't notice by itself that its input has ended
    for worker, _ in family:
        worker.kill()
    _, left = psutil.wait_procs([child for _, children in family for child in children], timeout=PATIENCE_SECONDS)
    assert left == []
    assert own_stack.wait_for(job_id)["status"] == "completed"


def test_recovery_never_gives_up(own_stack: Stack) -> None:
    """A recovery gave up for good: however often Claude's processes die, the next request is answered."""
    for number in range(4):
        for process in own_stack.claude_processes():
            process.kill()
        assert own_stack.ask(f"still there {number}").startswith("Simulated answer")


def test_everything_killed_and_started_again(own_stack: Stack) -> None:
    """After a kill -9 of every process a start just works, and what was accepted is answered once."""
    own_stack.simulator.add_rule({"hang_seconds": 60})
    jobs = [own_stack.submit(f"power cut {number}") for number in range(6)]
    own_stack.wait_for(jobs[0], "in_progress")
    own_stack.kill_everything()
    own_stack.start()
    finished = [own_stack.wait_for(job_id) for job_id in jobs]
    assert {job["status"] for job in finished} == {"completed"}


def test_a_stop_puts_back_what_runs(own_stack: Stack) -> None:
    """SIGTERM ends everything, and what ran is answered after the next start without having used an attempt."""
    own_stack.simulator.add_rule({"hang_seconds": 60})
    job_id = own_stack.submit("to be continued")
    own_stack.wait_for(job_id, "in_progress")
    assert own_stack.stop() == 0
    own_stack.start()
    job = own_stack.wait_for(job_id)
    assert (job["status"], job["attempts"]) == ("completed", 1)
