"""What is final is not tried again, and what is not is tried with patience: on the whole product, with an API key's login."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import Stack, stack_fixture
from tests.acceptance.test_batches import line, read, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

keyed_stack = stack_fixture("module")


@pytest.fixture
def stack(keyed_stack: Stack) -> Iterator[Stack]:
    """A stack whose simulator knows no rules."""
    with keyed_stack.undisturbed():
        yield keyed_stack


def errors_of_workers(stack: Stack) -> int:
    return sum(worker["errors"] for worker in stack.http("GET", "/health").body["workers"])


@pytest.mark.parametrize("text", ["", " \n"])
def test_the_models_empty_answer_is_the_answer(stack: Stack, text: str) -> None:
    """It comes as it is, for a client that waits, one that reads along, and in a batch; none of them pays for attempts."""
    stack.simulator.add_rule({"text": text}, match={"contains": "say nothing"})
    client = stack.client()
    asked: Any = {"model": "haiku", "messages": [{"role": "user", "content": "say nothing"}]}
    raw = client.chat.completions.with_raw_response.create(**asked)
    choice = raw.parse().choices[0]
    assert (choice.message.content, choice.finish_reason) == (text, "stop")
    assert raw.headers["x-nightshift-attempts"] == "1"
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
    response = client.responses.create(model="haiku", input="say nothing")
    assert (response.status, response.output_text) == ("completed", text)
    batch = wait(stack, start(stack, [line("quiet", "say nothing"), line("loud")]).id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    answers = {one["custom_id"]: one["response"]["body"]["choices"][0] for one in read(stack, batch.output_file_id)}
    assert answers["quiet"]["message"]["content"] == text
    assert answers["loud"]["message"]["content"]
    # Four answers; on a busy machine the CLI is now and then quicker than its end (docs/guarantees.md).
    assert 4 <= len(stack.asked("say nothing")) <= 8


def in_progress(stack: Stack) -> int:
    return int(stack.http("GET", "/health").body["queue"]["in_progress"])


def closed_families(stack: Stack) -> dict[str, str]:
    """Which models wait, and why."""
    return {scope["family"]: scope["cause"] for scope in stack.http("GET", "/v1/gate").body["scopes"]}


def test_a_key_with_too_much_at_once_is_asked_seldom(stack: Stack) -> None:
    """After a few 429s in a row all workers wait at one gate, nothing fails, and it goes on when a probe gets an answer."""
    rule = stack.simulator.add_rule({"error": {"status": 429, "headers": {"retry-after": "3600"}}})
    jobs = [stack.submit(f"too much {number}") for number in range(3)]
    # A key's rate limits are by model.
    wait_until(lambda: closed_families(stack) == {"sonnet": "rate_limit"}, "the gate")
    wait_until(lambda: stack.simulator.stats()["running"] == 0 and not in_progress(stack), "workers that rest")
    asked = len(stack.asked("too much"))
    # Three that make the wall, and what the other worker had begun.
    assert asked <= 5
    probe_at = min(scope["probe_at"] for scope in stack.http("GET", "/v1/gate").body["scopes"])
    time.sleep(3)
    # Whoever comes to this line late may see the probe, too.
    assert len(stack.asked("too much")) <= asked + (time.time() >= probe_at)
    assert {stack.job(job_id)["status"] for job_id in jobs} <= {"queued", "in_progress"}
    stack.simulator.remove_rule(rule)
    finished = [stack.wait_for(job_id) for job_id in jobs]
    assert {(job["status"], job["attempts"]) for job in finished} == {("completed", 1)}
    assert closed_families(stack) == {}


def test_what_a_request_does_wrong_is_no_error_of_claudes(stack: Stack) -> None:
    """The API's 400 is the client's after one request, and no worker counts it."""
    before = errors_of_workers(stack)
    stack.simulator.add_rule({"error": {"status": 400, "message": "temperature: no"}}, match={"contains": "wrong"})
    job = stack.wait_for(stack.submit("wrong"))
    assert (job["status"], job["attempts"], job["error"]["param"]) == ("failed", 1, "temperature")
    assert len(stack.asked("wrong")) == 1
    told = time.time()
    wait_until(lambda: all(beat > told for beat in beats(stack)), "a beat of each worker")
    assert errors_of_workers(stack) == before


def beats(stack: Stack) -> list[float]:
    """When each worker has last told of itself."""
    workers = stack.http("GET", "/health").body["workers"]
    return [time.time() - worker["beat_seconds_ago"] for worker in workers]
