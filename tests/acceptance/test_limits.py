"""What stops the whole house, and how it goes on: a limit, a login, a wall of overloads, a pause."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.stack import Stack, stack_fixture
from tests.acceptance.test_batches import done, line, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIMIT = {"usage_limit": {"status": "rejected", "resets_in_seconds": 900, "type": "five_hour"}}


limited_stack = stack_fixture(
    "module",
    settings={
        "NIGHTSHIFT_OFFLINE_LOGIN": "subscription",
        "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
        "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "2",
        "NIGHTSHIFT_RESERVE": "1",
        "NIGHTSHIFT_STOP_AT_UTILIZATION": "0.8",
    },
)


@pytest.fixture
def subscription(limited_stack: Stack) -> Iterator[Stack]:
    """A stack with a login that has usage limits, open at the start of each test."""
    with limited_stack.undisturbed():
        yield limited_stack
    wait_until(lambda: limited_stack.http("GET", "/health/ready").status == 200, "a ready stack")
    # What still waits would meet the next test's limit.
    wait_until(lambda: unfinished(limited_stack) == 0, "an empty queue")


def unfinished(stack: Stack) -> int:
    queue = stack.http("GET", "/health").body["queue"]
    return int(queue["queued"] + queue["in_progress"])


def closed_by(stack: Stack) -> str | None:
    cause = stack.http("GET", "/v1/gate").body.get("cause")
    return None if cause is None else str(cause)


def test_a_client_that_cannot_wait_for_the_reset_hears_when_it_is(subscription: Stack) -> None:
    """A waiting client whose deadline ends before the reset gets a 429 with the seconds until then; nothing is failed."""
    subscription.simulator.add_rule(LIMIT)
    night = subscription.submit("can wait")
    wait_until(lambda: closed_by(subscription) == "usage_limit", "the limit")
    reply = subscription.http(
        "POST",
        "/v1/chat/completions",
        {"model": "haiku", "messages": [{"role": "user", "content": "cannot wait"}]},
        {"X-Request-Timeout": "30"},
    )
    assert (reply.status, reply.body["error"]["code"]) == (429, "usage_limit_reached")
    assert 800 < int(reply.headers["Retry-After"]) <= 900
    assert subscription.job(night)["status"] in ("queued", "in_progress")


def test_an_early_reset_is_noticed(subscription: Stack) -> None:
    """A limit that is lifted long before its reset is found by a probe, and the job has used one attempt."""
    subscription.simulator.add_rule(LIMIT, times=1)
    job = subscription.wait_for(subscription.submit("patient"))
    assert (job["status"], job["attempts"]) == ("completed", 1)
    assert closed_by(subscription) is None


def test_a_broken_login_stops_the_taking_of_jobs_and_ends_by_itself(subscription: Stack) -> None:
    """A refused login is its own state, not a limit; jobs wait without using attempts, and go on when it is mended."""
    rule = subscription.simulator.add_rule({"error": {"status": 401}})
    jobs = [subscription.submit(f"locked out {number}") for number in range(4)]
    wait_until(lambda: closed_by(subscription) == "login", "the state of the login")
    assert subscription.http("GET", "/health/ready").status in (200, 503)
    subscription.simulator.remove_rule(rule)
    finished = [subscription.wait_for(job_id) for job_id in jobs]
    assert {(job["status"], job["attempts"]) for job in finished} == {("completed", 1)}


def test_a_wall_of_overloads_fails_nobody(subscription: Stack) -> None:
    """Overloads in a row close the gate for all instead of thousands of retries, and no job fails for them."""
    subscription.simulator.add_rule({"error": {"status": 529}})
    jobs = [subscription.submit(f"overload {number}") for number in range(6)]
    wait_until(lambda: closed_by(subscription) == "overload", "the wall")
    asked = len(subscription.asked("overload"))
    assert asked < 20
    subscription.simulator.clear_rules()
    subscription.http("POST", "/v1/gate/resume")
    finished = [subscription.wait_for(job_id) for job_id in jobs]
    assert {job["status"] for job in finished} == {"completed"}


def test_pause_and_resume_from_the_command_line(subscription: Stack) -> None:
    """`nightshift pause` and `resume` say how the gate stands, and the stack does as they say."""

    def nightshift(*words: str) -> str:
        argv = [sys.executable, "-m", "ops.cli.main", *words, "--url", subscription.url]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert nightshift("pause", "--reason", "inventory").startswith("Closed (paused: inventory) until it is resumed")
    assert closed_by(subscription) == "paused"
    assert nightshift("resume") == "Open: jobs are taken.\n"
    assert closed_by(subscription) is None


def test_pause_and_resume(subscription: Stack) -> None:
    """While it is paused nothing is taken, and a client that cannot wait is told so; then everything goes on."""
    assert subscription.http("POST", "/v1/gate/pause", {"until": time.time() + 600}).body["cause"] == "paused"
    wait_until(
        lambda: {w["state"] for w in subscription.http("GET", "/health").body["workers"]} == {"paused"},
        "paused workers",
    )
    job_id = subscription.submit("after the pause")
    reply = subscription.http(
        "POST",
        "/v1/chat/completions",
        {"model": "haiku", "messages": [{"role": "user", "content": "now"}]},
        {"X-Request-Timeout": "30"},
    )
    assert (reply.status, reply.body["error"]["code"]) == (503, "paused")
    assert subscription.job(job_id)["status"] == "queued"
    subscription.http("POST", "/v1/gate/resume")
    assert subscription.wait_for(job_id)["status"] == "completed"


def test_a_batch_outlives_limits_with_wrong_reset_times(subscription: Stack) -> None:
    """Limited from its first line on, with a reset days ahead, and in mid-batch with one in the past: no line fails."""
    for resets_in_seconds, after in ((4 * 24 * 3600, 0), (-600, 3)):
        limit = {**LIMIT["usage_limit"], "resets_in_seconds": resets_in_seconds}
        subscription.simulator.add_rule({"usage_limit": limit}, after=after, times=1)
    batch = start(subscription, [line(f"line-{n}") for n in range(6)])
    wait_until(lambda: closed_by(subscription) == "usage_limit", "the limit")
    ended = wait(subscription, batch.id)
    assert ended.request_counts is not None
    assert (ended.status, ended.request_counts.completed) == ("completed", 6)
    assert len(subscription.asked("Say line-")) == 8


def test_a_reserved_worker_answers_while_lines_run(subscription: Stack) -> None:
    """With one of two workers reserved, an interactive request is answered while the batch's first line is not."""
    subscription.simulator.add_rule({}, match={"contains": "dusk"}, latency_ms=60_000)
    batch = start(subscription, [line(f"dusk-{n}") for n in range(6)])
    wait_until(lambda: bool(subscription.asked("dusk")), "the first line")
    assert "Simulated answer" in subscription.ask("day")
    assert "Simulated answer" in subscription.ask("day again")
    assert (done(subscription, batch.id), len(subscription.asked("dusk"))) == (0, 1)
    subscription.client().batches.cancel(batch.id)
    assert wait(subscription, batch.id).status == "cancelled"


# The last one: a Claude process remembers what it was told of the windows until their reset.
def test_a_share_of_the_window_is_left(subscription: Stack) -> None:
    """The answer that tells of it is given; then all waits, and a probe finds out that the window began anew."""

    def tell(share: float) -> None:
        subscription.simulator.clear_rules()
        window = {"status": "allowed", "utilization": share, "resets_in_seconds": 900}
        subscription.simulator.add_rule({"usage_limit": window, "text": "fine"})

    tell(0.79)
    assert subscription.wait_for(subscription.submit("below"))["status"] == "completed"
    assert closed_by(subscription) is None
    (way,) = subscription.http("GET", "/health").body["ways"]
    assert {one["name"]: one["utilization"] for one in way["windows"]} == {"five_hour": 0.79, "seven_day": 0.79}
    tell(0.83)
    assert subscription.wait_for(subscription.submit("the last"))["status"] == "completed"
    gate = subscription.http("GET", "/v1/gate").body
    assert (gate["cause"], gate["open"]) == ("utilization", False)
    assert gate["reason"].startswith("83% of the")
    assert 800 < gate["until"] - time.time() <= 900
    batch = start(subscription, [line("night")])
    wait_until(
        lambda: "utilization" in str(subscription.http("GET", f"/v1/batches/{batch.id}").body), "the batch's words"
    )
    assert wait(subscription, batch.id).status == "completed"
    assert closed_by(subscription) == "utilization"
    tell(0.1)
    assert subscription.wait_for(subscription.submit("anew"))["status"] == "completed"
    wait_until(lambda: closed_by(subscription) is None, "an open gate")
