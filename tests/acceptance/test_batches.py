"""Batches as a user of OpenAI's client makes them, on the whole product."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from app.gate import Cause, Gate
from chaos.until import PATIENCE_SECONDS
from tests.acceptance.stack import SHARED_SETTINGS, Stack, stack_fixture
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from openai.types import Batch

FINAL = ("completed", "failed", "expired", "cancelled")


def line(custom_id: str, content: str = "", **body: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content or f"Say {custom_id}."}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "haiku", "messages": [message], **body},
    }


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in lines)


def start(stack: Stack, lines: list[dict[str, Any]], **fields: Any) -> Batch:
    client = stack.client()
    uploaded = client.files.create(file=("night.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h", **fields
    )


def wait(stack: Stack, batch_id: str, *statuses: str, timeout: float = PATIENCE_SECONDS) -> Batch:
    wanted = statuses or FINAL
    client = stack.client()
    wait_until(lambda: client.batches.retrieve(batch_id).status in wanted, f"{batch_id} {wanted}", timeout)
    return client.batches.retrieve(batch_id)


def read(stack: Stack, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(one) for one in stack.client().files.content(file_id).text.split("\n") if one]


def done(stack: Stack, batch_id: str) -> int:
    counts = stack.client().batches.retrieve(batch_id).request_counts
    assert counts is not None
    return counts.completed + counts.failed


#: whose Redis has no batches but these
shared_stack = stack_fixture("module", settings=SHARED_SETTINGS)
own_stack = stack_fixture(
    settings={"NIGHTSHIFT_LEASE_SECONDS": "4", "NIGHTSHIFT_BEAT_SECONDS": "1", "NIGHTSHIFT_MAX_WORKER_DEATHS": "50"}
)
subscription = stack_fixture(
    settings={"NIGHTSHIFT_OFFLINE_LOGIN": "subscription", "NIGHTSHIFT_LOGIN_PROBE_SECONDS": "1"}
)


def test_a_night_by_openais_client(stack: Stack) -> None:
    """60 requests come back once each by their ids, with what the simulator answered and the usage added up."""
    stack.simulator.add_rule({"echo": True})
    ids = [f"night-{n}" for n in range(60)]
    batch = start(stack, [line(one, f"\u2028 {one} \u0085") for one in ids], metadata={"who": "me"})
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"who": "me"})
    batch = wait(stack, batch.id)
    assert batch.status == "completed"
    assert batch.error_file_id is None
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 60, "completed": 60, "failed": 0}
    lines = read(stack, batch.output_file_id)
    assert sorted(one["custom_id"] for one in lines) == sorted(ids)
    for one in lines:
        assert one["error"] is None
        assert one["id"].startswith("batch_req_")
        assert one["response"]["status_code"] == 200
        assert one["response"]["body"]["object"] == "chat.completion"
        assert one["custom_id"] in one["response"]["body"]["choices"][0]["message"]["content"]
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(one["response"]["body"]["usage"]["total_tokens"] for one in lines)
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at
    assert stack.redis.keys("*batch_req_*") == []
    assert batch.id in [one.id for one in stack.client().batches.list(limit=5)]


def test_the_log_of_a_batch_is_short(stack: Stack) -> None:
    """It has a line for the batch's start and end and for each request that failed, none for those that went well."""
    good = start(stack, [line("a"), line("b")])
    wait(stack, good.id)
    stack.simulator.set_rules([{"respond": {"error": {"status": 400, "message": "too long"}}}])
    bad = start(stack, [line("c")])
    wait(stack, bad.id)

    def lines(batch_id: str, mark: str) -> list[str]:
        return [one for one in stack.log.read_text().splitlines() if batch_id in one and mark in one]

    wait_until(lambda: len(lines(bad.id, "[BATCH]")) == 2, "the line of the batch's end")
    assert "status=completed completed=2 failed=0 unrun=0 of 2" in lines(good.id, "[BATCH]")[1]
    assert "status=completed completed=0 failed=1 unrun=0 of 1" in lines(bad.id, "[BATCH]")[1]
    assert [len(lines(one.id, "[JOB]")) for one in (good, bad)] == [0, 1]


def test_every_bad_line_is_named(stack: Stack) -> None:
    """A batch with bad lines fails before anything runs, and its errors name code, line and param of each.

    Of a strict one that includes requests that would be refused.
    """
    stack.simulator.clear()
    lines = [line("a"), {**line("b"), "url": "/v1/embeddings"}, line("a"), line("c", temperature=9)]
    assert bad_lines(stack, start(stack, lines)) == [
        (2, "url_mismatch", "url"),
        (3, "duplicate_custom_id", "custom_id"),
    ]
    batch = wait(stack, start(stack, lines, metadata={"on_bad_line": "fail"}).id)
    assert batch.status == "failed"
    assert batch.errors is not None and batch.errors.data is not None
    assert [(one.line, one.code, one.param) for one in batch.errors.data] == [
        (2, "url_mismatch", "url"),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "invalid_value", "body.temperature"),
    ]
    assert stack.asked() == []


def bad_lines(stack: Stack, made: Batch) -> list[tuple[int | None, str | None, str | None]]:
    batch = wait(stack, made.id)
    assert batch.status == "failed"
    assert batch.errors is not None and batch.errors.data is not None
    return [(one.line, one.code, one.param) for one in batch.errors.data]


def test_a_refused_request_is_its_own_400(stack: Stack) -> None:
    """As at OpenAI, a body that is refused is that line's error in the error file, and the rest runs."""
    batch = wait(stack, start(stack, [line("good"), line("bad", logprobs=True), line("fine")]).id)
    assert batch.status == "completed"
    assert {one["custom_id"] for one in read(stack, batch.output_file_id)} == {"good", "fine"}
    (bad,) = read(stack, batch.error_file_id)
    assert (bad["custom_id"], bad["error"], bad["response"]["status_code"]) == ("bad", None, 400)
    assert bad["response"]["body"]["error"]["param"] == "logprobs"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}


def test_failures_are_in_the_error_file_and_run_again(stack: Stack) -> None:
    """A request that Claude refuses is a line of the error file; retry_failed makes a batch of just that."""
    refused = stack.simulator.add_rule(
        {"error": {"status": 400, "message": "max_tokens: too many"}}, match={"contains": "Say bad."}
    )
    first = wait(stack, start(stack, [line("good"), line("bad")]).id)
    assert first.status == "completed"
    assert [one["custom_id"] for one in read(stack, first.output_file_id)] == ["good"]
    (bad,) = read(stack, first.error_file_id)
    assert (bad["custom_id"], bad["error"], bad["response"]["status_code"]) == ("bad", None, 400)
    assert bad["response"]["body"]["error"]["message"] == "max_tokens: too many"
    stack.simulator.remove_rule(refused)
    reply = stack.http("POST", f"/v1/batches/{first.id}/retry_failed")
    assert (reply.status, reply.body["metadata"]) == (200, {"retry_of": first.id})
    second = wait(stack, reply.body["id"])
    assert [one["custom_id"] for one in read(stack, second.output_file_id)] == ["bad"]


def test_all_failed_is_completed_without_output(stack: Stack) -> None:
    """When no request succeeds the batch is completed all the same, and has no output file."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "no"}})
    batch = wait(stack, start(stack, [line("a"), line("b")]).id)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(read(stack, batch.error_file_id)) == 2


def test_cancel_stops_keeps_and_names(stack: Stack) -> None:
    """After a cancel what was done is in the output, all else in the error file, and what ran is interrupted."""
    stack.simulator.add_rule({}, match={"contains": "Say slow"}, latency_ms=60_000)
    ids = ["quick-1", "quick-2", *[f"slow-{n}" for n in range(30)]]
    batch = start(stack, [line(one) for one in ids])
    wait_until(lambda: done(stack, batch.id) == 2 and len(stack.asked("Say slow")) == 2, "two slow requests")
    partial = stack.http("GET", f"/v1/batches/{batch.id}/output")
    assert {json.loads(one)["custom_id"] for one in partial.body.splitlines()} == {"quick-1", "quick-2"}
    assert stack.client().batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = wait(stack, batch.id)
    assert ended.status == "cancelled"
    assert {one["custom_id"] for one in read(stack, ended.output_file_id)} == {"quick-1", "quick-2"}
    named = read(stack, ended.error_file_id)
    assert sorted(one["custom_id"] for one in named) == sorted(ids[2:])
    assert {(one["response"], one["error"]["code"]) for one in named} == {(None, "batch_cancelled")}
    stack.simulator.clear()
    assert stack.ask("hello")


def test_an_interactive_request_goes_before_batch_lines(stack: Stack) -> None:
    """While a batch keeps all workers busy, a request waits for the turns that run and for no other line."""
    stack.simulator.add_rule({"held": True}, match={"contains": "Say line"})
    batch = start(stack, [line(f"line-{n}") for n in range(20)])
    wait_until(lambda: len(stack.asked("Say line")) == 2, "a batch that runs")
    job_id = stack.submit("me first")
    stack.simulator.clear_rules()
    stack.wait_for(job_id)
    prompts = [str(body["messages"][-1]["content"]) for body in stack.asked()]
    # Behind the two that ran, and at most one that the other worker took at the same moment.
    assert next(number for number, prompt in enumerate(prompts) if "me first" in prompt) <= 3
    stack.client().batches.cancel(batch.id)
    assert wait(stack, batch.id).status in ("cancelled", "completed")


def test_kills_in_mid_batch(own_stack: Stack) -> None:
    """Workers killed, then everything killed and started again: each request is in the output exactly once."""
    stack = own_stack
    stack.simulator.add_rule({}, latency_ms=30)
    ids = [f"line-{n}" for n in range(80)]
    batch = start(stack, [line(one) for one in ids])
    for count in (8, 20):
        wait_until(lambda count=count: done(stack, batch.id) >= count, f"{count} lines")  # type: ignore[misc]
        stack.worker_processes()[0].kill()
    wait_until(lambda: done(stack, batch.id) >= 35, "35 lines")
    stack.kill_everything()
    stack.start()
    wait_until(lambda: done(stack, batch.id) >= 50, "50 lines")
    # It starts again in a limit that is over sooner than it was told.
    Gate(stack.redis).close(Cause.USAGE_LIMIT, time.time() + 900, "limit", "five_hour", probe_at=time.time() + 5)
    stack.stop(signal.SIGTERM)
    stack.start()
    ended = wait(stack, batch.id, timeout=90)
    assert ended.status == "completed"
    assert sorted(one["custom_id"] for one in read(stack, ended.output_file_id)) == sorted(ids)
    assert ended.error_file_id is None


def test_no_trouble_of_claudes_is_a_lines_error(subscription: Stack) -> None:
    """A usage limit, a wall of overloads, a lost login and server errors in mid-batch: all lines complete all the same."""
    stack = subscription
    limit = {"status": "rejected", "resets_in_seconds": 3, "type": "five_hour"}
    stack.simulator.add_rule({"usage_limit": limit}, after=10, times=2)
    stack.simulator.add_rule({"error": {"status": 529}}, after=30, times=2)
    stack.simulator.add_rule({"error": {"status": 401}}, after=50, times=2)
    stack.simulator.add_rule({"error": {"status": 500}}, after=60, times=6)
    ids = [f"line-{n}" for n in range(70)]
    batch = start(stack, [line(one) for one in ids])
    ended = wait(stack, batch.id, timeout=120)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert sorted(one["custom_id"] for one in read(stack, ended.output_file_id)) == sorted(ids)
    assert "cause=usage_limit" in stack.log.read_text()


def test_the_callback_tells_of_the_end(stack: Stack) -> None:
    """A batch with a callback has its event in the outbox, by OpenAI's name, when it has ended."""
    url = "http://127.0.0.1:9/of-this-batch"
    ended = wait(stack, start(stack, [line("a")], metadata={"callback_url": url}).id)
    assert ended.status == "completed"
    events = stack.http("GET", "/v1/events?status=pending").body["data"]
    assert [one["type"] for one in events if one["delivery"]["url"] == url] == ["batch.completed"]


def test_lines_of_the_responses_endpoint(stack: Stack) -> None:
    """A batch may be of responses: each line comes back as a response object, and a body of the other kind is refused."""
    lines = [
        {
            "custom_id": f"r{n}",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "haiku", "input": f"say {n}"},
        }
        for n in range(3)
    ]
    client = stack.client()

    def create(content: list[dict[str, Any]]) -> Batch:
        uploaded = client.files.create(file=("night.jsonl", jsonl(content)), purpose="batch")
        return client.batches.create(input_file_id=uploaded.id, endpoint="/v1/responses", completion_window="24h")

    batch = wait(stack, create(lines).id)
    assert batch.status == "completed"
    bodies = [one["response"]["body"] for one in read(stack, batch.output_file_id)]
    assert {body["object"] for body in bodies} == {"response"}
    assert {body["output"][0]["content"][0]["text"] for body in bodies} == {
        f"Simulated answer to: say {n}" for n in range(3)
    }
    assert batch.usage is not None
    assert batch.usage.output_tokens > 0
    later = {**lines[0], "body": {"model": "haiku", "input": "x", "previous_response_id": "resp_1"}}
    refused = wait(stack, create([later]).id)
    assert refused.status == "completed"
    (only,) = read(stack, refused.error_file_id)
    assert only["response"]["body"]["error"]["param"] == "previous_response_id"
