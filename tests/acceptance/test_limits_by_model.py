"""A limit of one model: what waits, what goes on, and how it ends, on the whole stack with the real command line of Claude."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import ROOT, Reply, Stack, stack_fixture
from tests.acceptance.test_batches import line, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OPUS, SONNET = "claude-opus-4-5", "claude-sonnet-4-5"

limited_stack = stack_fixture(
    "module", settings={"NIGHTSHIFT_OFFLINE_LOGIN": "subscription", "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "2"}
)
#: of one worker, so that the order in which it asks is the order in which it takes
own_stack = stack_fixture(
    workers=1, settings={"NIGHTSHIFT_OFFLINE_LOGIN": "subscription", "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "3600"}
)


def limit(stack: Stack, name: str, model: str = OPUS, seconds: float = 900) -> None:
    window = {"status": "rejected", "resets_in_seconds": seconds, "type": name}
    stack.simulator.add_rule({"usage_limit": window}, match={"model": model})


def closed_scopes(stack: Stack) -> dict[str, Any]:
    """What closes what."""
    found = stack.http("GET", "/v1/gate").body["scopes"]
    return {f"{one['way']}:{one['family'] or 'all'}": one["limit"] for one in found}


def chat(stack: Stack, model: str, patience: int = 30) -> Reply:
    body = {"model": model, "messages": [{"role": "user", "content": "now"}]}
    return stack.http("POST", "/v1/chat/completions", body, {"X-Request-Timeout": str(patience)})


@pytest.fixture
def subscription(limited_stack: Stack) -> Iterator[Stack]:
    """Open at the start of each test."""
    with limited_stack.undisturbed():
        yield limited_stack
    wait_until(lambda: limited_stack.http("GET", "/health").body["queue"]["queued"] == 0, "an empty queue")


def test_a_limit_of_opus_closes_opus(subscription: Stack) -> None:
    """Sonnet and Haiku go on, by day and in batches; Opus' requests wait, and are answered when a probe of theirs passes."""
    limit(subscription, "seven_day_opus")
    waiting = [subscription.submit(f"opus {number}", model=OPUS) for number in range(3)]
    wait_until(lambda: closed_scopes(subscription) == {"cli:opus": "seven_day_opus"}, "the limit of Opus")
    night, other = (start(subscription, [line(f"{name}-{n}", model=name) for n in range(6)]) for name in (OPUS, SONNET))
    for number in range(4):
        asked = subscription.wait_for(subscription.submit(f"sonnet {number}", model=SONNET))
        assert (asked["status"], asked["attempts"]) == ("completed", 1)
    assert chat(subscription, "claude-haiku-4-5").status == 200
    assert wait(subscription, other.id).status == "completed"
    assert closed_scopes(subscription) == {"cli:opus": "seven_day_opus"}
    gate = subscription.http("GET", "/v1/gate").body
    assert gate["open"]
    assert gate["parked"] >= 2
    ours = subscription.http("GET", f"/v1/batches/{night.id}").body["nightshift"]
    assert ours["waiting_for"] == "usage_limit"
    for job_id in waiting:
        job = subscription.job(job_id)
        assert job["status"] in ("queued", "in_progress")
    subscription.simulator.clear_rules()
    ended = [subscription.wait_for(job_id) for job_id in waiting]
    assert {(job["status"], job["attempts"]) for job in ended} == {("completed", 1)}
    counts = wait(subscription, night.id).request_counts
    assert counts is not None and counts.completed == 6
    assert closed_scopes(subscription) == {}


def test_a_client_of_the_limited_model_hears_what_would_work(subscription: Stack) -> None:
    """A 429 with the model, the reset, the seconds until then, and the models that are answered now."""
    limit(subscription, "seven_day_opus")
    subscription.submit("opus", model=OPUS)
    wait_until(lambda: bool(closed_scopes(subscription)), "the limit")
    reply = chat(subscription, OPUS)
    error = reply.body["error"]
    assert (reply.status, error["code"]) == (429, "usage_limit_reached")
    assert 800 < int(reply.headers["Retry-After"]) <= 900
    assert f"usage limit for {OPUS} is reached" in error["message"]
    assert "Models that are answered now: haiku, sonnet." in error["message"]
    said = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "status", "--url", subscription.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "SERVES" in said
    assert "Way        cli  open; for opus closed, for 14:" in said


def test_another_models_answers_open_nothing(subscription: Stack) -> None:
    """Sonnet is answered all the time; Opus is tried by its own requests alone, and stays shut."""
    limit(subscription, "seven_day_opus")
    subscription.submit("opus", model=OPUS)
    wait_until(lambda: bool(closed_scopes(subscription)), "the limit")
    began = time.monotonic()
    while len([body for body in subscription.asked("opus") if body["model"] == OPUS]) < 3:
        assert subscription.wait_for(subscription.submit("sonnet", model=SONNET))["status"] == "completed"
        assert closed_scopes(subscription) == {"cli:opus": "seven_day_opus"}
    asked = len([body for body in subscription.asked("opus") if body["model"] == OPUS])
    # The one that met the limit, and a probe each two seconds.
    assert asked <= 3 + (time.monotonic() - began) / 2


def test_a_window_of_all_models_closes_all(subscription: Stack) -> None:
    """Whichever model ran into it."""
    limit(subscription, "five_hour")
    subscription.submit("opus", model=OPUS)
    wait_until(lambda: closed_scopes(subscription) == {"cli:all": "five_hour"}, "the limit")
    reply = chat(subscription, SONNET)
    assert (reply.status, reply.body["error"]["code"]) == (429, "usage_limit_reached")
    assert "answered now" not in reply.body["error"]["message"]


def test_parked_requests_survive_everything_in_their_order(own_stack: Stack) -> None:
    """A kill -9 of every process while they are parked, and they are asked in the order in which they came, once each."""
    limit(own_stack, "seven_day_opus")
    jobs = [own_stack.submit(f"parked {number}", model=OPUS) for number in range(6)]
    wait_until(lambda: own_stack.http("GET", "/v1/gate").body["parked"] == 6, "parked jobs")
    own_stack.kill_everything()
    own_stack.start()
    assert own_stack.http("GET", "/v1/gate").body["parked"] == 6
    own_stack.simulator.clear()
    own_stack.submit("sonnet", model=SONNET)
    own_stack.http("POST", "/v1/gate/resume")
    ended = [own_stack.wait_for(job_id) for job_id in jobs]
    assert {(job["status"], job["attempts"]) for job in ended} == {("completed", 1)}
    asked = [body["messages"][-1]["content"] for body in own_stack.asked("parked")]
    order = [next(number for number in range(6) if f"parked {number}" in str(text)) for text in asked]
    assert order == [*range(6)]
