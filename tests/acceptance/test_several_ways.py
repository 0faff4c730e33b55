"""Several ways to Claude in order, on the whole stack: what happens when one is limited, refused or at its cap, and when it is not any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.acceptance.stack import ROOT, Stack, running, stack_fixture
from tests.acceptance.test_batches import line, read, start, wait
from tests.acceptance.test_login import Keyed
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.process import RunningSimulator

#: the requests of one way, by its login: a subscription's token is a bearer's, a key has a header of its own
BY_CLI, BY_API = {"header": {"x-api-key": None}}, {"header": {"authorization": None}}
LIMIT = {"usage_limit": {"status": "rejected", "resets_in_seconds": 900, "type": "five_hour"}}
REFUSED = {"error": {"status": 401, "message": "invalid x-api-key"}}
QUICK = {
    "NIGHTSHIFT_OFFLINE_LOGIN": "subscription",
    "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1",
    "NIGHTSHIFT_LIMIT_PROBE_SECONDS": "3",
}

ladder_stack = stack_fixture("module", settings=QUICK | {"NIGHTSHIFT_WAYS": "cli:subscription,api"})


@pytest.fixture
def stack(ladder_stack: Stack) -> Iterator[Stack]:
    """A subscription first, a key after it; both open at the start of each test."""
    with ladder_stack.undisturbed():
        yield ladder_stack
    wait_until(lambda: states(ladder_stack) == {"cli": "open", "api": "open"}, "open ways")


def states(stack: Stack) -> dict[str, str]:
    return {one["way"]: one["state"] for one in stack.http("GET", "/health").body["ways"]}


def way_of(stack: Stack, prompt: str = "which way", **fields: Any) -> str:
    """By which way a request by itself is answered now."""
    body = {"model": "haiku", "messages": [{"role": "user", "content": prompt}], **fields}
    reply = stack.http("POST", "/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    return reply.headers["x-nightshift-way"]


def test_a_limit_sends_the_night_on_by_the_next_way_and_its_end_brings_it_back(stack: Stack) -> None:
    """No line fails or uses up an attempt, job, report, metrics and health name the ways, and a probe finds the reset."""
    assert way_of(stack) == "cli"
    rule = stack.simulator.add_rule(LIMIT, match=BY_CLI)
    batch = start(stack, [line(f"night {n}") for n in range(12)])
    ended = wait(stack, batch.id)
    assert (ended.status, len(read(stack, ended.output_file_id))) == ("completed", 12)
    report = stack.http("GET", f"/v1/batches/{batch.id}/report").body
    assert report["ways"] == {"api": 12}
    assert states(stack) == {"cli": "closed", "api": "open"}
    job = stack.wait_for(stack.submit("alone"))
    assert (job["status"], job["attempts"], job["way"]) == ("completed", 1, "api")
    metrics = httpx.get(f"{stack.url}/metrics").text
    assert 'nightshift_answers_total{way="api"} ' in metrics
    closed = [text for text in metrics.splitlines() if text.startswith("nightshift_scope_closed{")]
    assert [('way="cli"' in text, 'cause="usage_limit"' in text) for text in closed] == [(True, True)]
    assert "cause=usage_limit scope=cli" in stack.log.read_text()
    stack.simulator.remove_rule(rule)
    wait_until(lambda: way_of(stack) == "cli", "the first way, after its limit")
    assert states(stack) == {"cli": "open", "api": "open"}


def test_who_waits_is_answered_by_the_next_way_at_once(stack: Stack) -> None:
    """A client that meets the limit itself, and one that reads along: neither hears of it."""
    stack.simulator.add_rule(LIMIT, match=BY_CLI)
    assert way_of(stack, "meets it") == "api"
    message: Any = {"role": "user", "content": "reads along"}
    pieces = stack.client().chat.completions.create(model="haiku", messages=[message], stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces).startswith("Simulated answer")


def test_flex_waits_for_the_cheapest_way(stack: Stack) -> None:
    """A limit does not make it spend money: it goes on by the subscription when that is open again."""
    rule = stack.simulator.add_rule(LIMIT, match=BY_CLI)
    job = stack.submit("patient", service_tier="flex")
    wait_until(lambda: states(stack)["cli"] == "closed", "the limit")
    assert way_of(stack) == "api"
    time.sleep(1.0)
    assert stack.job(job)["status"] == "queued"
    stack.simulator.remove_rule(rule)
    found = stack.wait_for(job)
    assert (found["status"], found["way"], found["attempts"]) == ("completed", "cli", 1)
    assert found["result"]["service_tier"] == "flex"


def test_a_batch_takes_the_way_that_it_names(stack: Stack) -> None:
    """Whatever the ladder's order is, and no other while that one is closed; one that is off is a 400."""
    batch = start(stack, [line("by api")], metadata={"way": "api"})
    wait(stack, batch.id)
    assert stack.http("GET", f"/v1/batches/{batch.id}/report").body["ways"] == {"api": 1}
    rule = stack.simulator.add_rule(LIMIT, match=BY_CLI)
    batch = start(stack, [line("by cli")], metadata={"way": "cli"})
    wait_until(lambda: states(stack)["cli"] == "closed", "the limit")
    time.sleep(1.0)
    assert stack.http("GET", f"/v1/batches/{batch.id}").body["status"] == "in_progress"
    stack.simulator.remove_rule(rule)
    wait(stack, batch.id)
    assert stack.http("GET", f"/v1/batches/{batch.id}/report").body["ways"] == {"cli": 1}
    body = {"input_file_id": batch.input_file_id, "endpoint": batch.endpoint, "completion_window": "24h"}
    reply = stack.http("POST", "/v1/batches", body | {"metadata": {"way": "batches"}})
    assert (reply.status, reply.body["error"]["param"]) == (400, "metadata.way")


def test_the_command_line_names_a_way(stack: Stack, tmp_path: Path) -> None:
    """`submit --way`; one that is off is refused by the server, one that does not exist by the command."""
    file = tmp_path / "night.jsonl"
    file.write_text(json.dumps(line("from the command line")) + "\n")

    def submit(way: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "ops.cli.main", "batch", "submit", str(file), "--way", way, "--again"]
        return subprocess.run([*argv, "--url", stack.url], cwd=ROOT, capture_output=True, text=True, check=False)

    done = submit("api")
    assert done.returncode == 0, done.stderr
    batch = wait(stack, done.stdout.strip())
    assert batch.metadata is not None and batch.metadata["way"] == "api"
    assert stack.http("GET", f"/v1/batches/{batch.id}/report").body["ways"] == {"api": 1}
    for way, words in (("batches", "NIGHTSHIFT_WAYS names: cli, api"), ("pigeon", "--way")):
        refused = submit(way)
        assert refused.returncode != 0
        assert words in refused.stderr + refused.stdout


def test_a_worker_that_is_killed_on_the_second_way_loses_nothing(stack: Stack) -> None:
    """Its job is asked again, by the way that is open then."""
    stack.simulator.add_rule(LIMIT, match=BY_CLI)
    assert way_of(stack, "closes it") == "api"
    stack.simulator.add_rule({"text": "slow"}, latency_ms=1500, match=BY_API | {"contains": "killed"})
    jobs = [stack.submit(f"killed {number}") for number in range(4)]
    wait_until(lambda: len(stack.asked("killed")) >= 2, "two turns")
    os.kill(stack.worker_processes()[0].pid, signal.SIGKILL)
    ended = [stack.wait_for(job) for job in jobs]
    assert {(job["status"], job["way"]) for job in ended} == {("completed", "api")}


keyed_first = {"NIGHTSHIFT_WAYS": "api,cli:subscription"}


@pytest.fixture
def keys(simulator: RunningSimulator) -> Iterator[Keyed]:
    """A stack with real logins of two kinds, its key first, that asks the test's simulator."""
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-of-the-owner",
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat-of-the-owner",
        "ANTHROPIC_BASE_URL": simulator.base_url,
    }
    yield from running(Keyed(settings=QUICK | keyed_first | settings))


def test_a_key_that_is_refused_closes_its_way_only(keys: Keyed, simulator: RunningSimulator) -> None:
    """The other goes on with its own login, which is all that it sees; when the key works, the first way is used again."""
    control = simulator.control
    wait_until(lambda: way_of(keys) == "api", "an answer by the key")
    assert not keys.claude_processes(), "a way that no request needs holds no process"
    rule = control.add_rule(REFUSED, match=BY_API)
    assert way_of(keys, "meets the refusal") == "cli"
    assert states(keys) == {"api": "closed", "cli": "open"}
    assert keys.http("GET", "/health/ready").status == 200
    assert "cause=login scope=api" in keys.said()
    logins = [
        {name: text for name, text in entry["headers"].items() if name in ("authorization", "x-api-key")}
        for entry in control.requests("meets the refusal")
    ]
    assert [[*login] for login in logins] == [["x-api-key"], ["authorization"]]
    for process in keys.claude_processes():
        assert "sk-ant-of-the-owner" not in process.environ().values()
        assert process.environ()["CLAUDE_CODE_OAUTH_TOKEN"] == "sk-ant-oat-of-the-owner"
    control.remove_rule(rule)
    wait_until(lambda: way_of(keys) == "api", "the key again")
    assert states(keys) == {"api": "open", "cli": "open"}


capped_stack = stack_fixture(
    "function", settings=QUICK | {"NIGHTSHIFT_WAYS": "api:0.00001usd/day,cli:subscription"}, workers=1
)


def test_a_way_at_its_cap_is_closed_until_the_cap_is_raised(capped_stack: Stack) -> None:
    """What is spent shows, the next way takes over, nobody opens it by hand, and a restart with a higher cap does."""
    stack = capped_stack
    ways = [way_of(stack, f"spends {number}") for number in range(20)]
    assert ways[0] == "api"
    assert ways[-1] == "cli"
    assert ways == sorted(ways), "what has gone on by the next way stays there"
    api, cli = stack.http("GET", "/health").body["ways"]
    assert (api["state"], api["closed"]["cause"], cli["state"]) == ("closed", "spending_cap", "open")
    assert api["spent"]["usd"] >= 0.00001 == api["spent"]["cap_usd"]
    assert "cause=spending_cap scope=api" in stack.log.read_text()
    stack.http("POST", "/v1/gate/resume")
    assert way_of(stack, "by hand") == "cli"
    stack.stop()
    stack.settings["NIGHTSHIFT_WAYS"] = "api:5usd/day,cli:subscription"
    stack.start()
    wait_until(lambda: way_of(stack, "higher") == "api", "the way with a higher cap")
