"""One request seen from outside: its trace over all processes, and its lines in their log."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import Stack, running
from tests.integration.api.running import chat_body
from tests.integration.webhooks import receiver
from tests.otlp_receiver import OtlpReceiver, receiving
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def stack(collector: OtlpReceiver) -> Iterator[Stack]:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS": "127.0.0.1",
        "NIGHTSHIFT_LOG_FORMAT": "json",
        "NIGHTSHIFT_LOG_LEVEL": "debug",
    }
    yield from running(Stack(settings=settings, workers=1))


def parent_of(trace: str, *, sampled: bool = True) -> str:
    return f"00-{trace}-{'b' * 16}-{'01' if sampled else '00'}"


def test_a_trace_from_the_client_to_its_callback(stack: Stack, collector: OtlpReceiver) -> None:
    """Accept hangs on the client's span; queue, turn and deliver on accept; Claude and the callback's receiver hear of it."""
    trace, secret = secrets.token_hex(16), "a prompt of nobody's business"
    headers = {"traceparent": parent_of(trace), "tracestate": "client=1", "x-request-id": "step-7/doc-3"}
    with receiver.running() as hook:
        body = {"model": "sonnet", "messages": [{"role": "user", "content": secret}], "callback_url": hook.url("/hook")}
        accepted = stack.http("POST", "/v1/chat/completions", body, headers)
        assert (accepted.status, accepted.headers["x-request-id"]) == (202, "step-7/doc-3")
        wait_until(lambda: len(collector.spans(trace)) == 4, "four spans")
        (delivered,) = hook.received
    spans = {span.name: span for span in collector.spans(trace)}
    accept, queue, turn, deliver = (spans[name] for name in ("accept", "queue", "turn", "deliver"))
    assert accept.parent == "b" * 16
    assert {span.parent for span in (queue, turn, deliver)} == {accept.id}
    assert accept.began_at <= queue.began_at <= queue.ended_at <= turn.began_at <= turn.ended_at <= deliver.ended_at
    assert len({span.process for span in spans.values()}) == 3
    for span in spans.values():
        assert span.attributes["nightshift.job_id"] == accepted.body["id"]
        assert span.attributes["nightshift.request_id"] == "step-7/doc-3"
    assert turn.attributes["gen_ai.usage.output_tokens"] > 0
    (asked,) = [entry["headers"] for entry in stack.simulator.requests(secret)]
    assert (asked["traceparent"], asked["tracestate"]) == (f"00-{trace}-{turn.id}-01", "client=1")
    assert delivered.headers["traceparent"] == f"00-{trace}-{deliver.id}-01"
    assert not any(secret.encode() in body or b"Simulated answer" in body for body in collector.bodies)


def test_what_is_not_sampled_or_failed(stack: Stack, collector: OtlpReceiver) -> None:
    """A client that does not record gets no spans, and its trace goes on all the same; the next request has none of it."""
    silent, failed = secrets.token_hex(16), secrets.token_hex(16)
    body: dict[str, Any] = {"model": "sonnet", "messages": [{"role": "user", "content": "unsampled"}]}
    assert (
        stack.http("POST", "/v1/chat/completions", body, {"traceparent": parent_of(silent, sampled=False)}).status
        == 200
    )
    (asked,) = [entry["headers"] for entry in stack.simulator.requests("unsampled")]
    assert asked["traceparent"].startswith(f"00-{silent}-")
    stack.simulator.add_rule({"error": {"status": 400, "message": "no"}}, times=1)
    assert stack.http("POST", "/v1/chat/completions", body, {"traceparent": parent_of(failed)}).status == 400
    wait_until(lambda: len(collector.spans(failed)) == 3, "the spans of a failure")
    assert [span.failed for span in collector.spans(failed)] == [False, False, True]
    assert collector.spans(silent) == []


def lines_of(stack: Stack, mark: str, **ids: str) -> list[dict[str, Any]]:
    """The log's JSON lines with that mark and these ids."""
    found = [json.loads(line) for line in stack.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if mark in line["message"] and ids.items() <= line.items()]


def test_each_line_says_what_it_is_about(stack: Stack) -> None:
    """A request, its run, its callback and a batch's line are found by their ids, in the lines of all processes."""
    with receiver.running() as hook:
        job = stack.submit("find me", callback_url=hook.url())
        stack.wait_for(job)
        hook.wait_for(1)
        wait_until(lambda: bool(lines_of(stack, "[CALLBACK]", job_id=job)), "the callback's line")
    (asked,) = lines_of(stack, "[REQUEST] POST", job_id=job)
    (ran,) = lines_of(stack, "[JOB]", job_id=job, request_id=asked["request_id"])
    assert "worker-1" in ran["worker"]
    (called,) = lines_of(stack, "[CALLBACK]", job_id=job, request_id=asked["request_id"])
    assert called["event_id"].startswith("evt_")
    client = stack.client()
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": chat_body("in a batch")}
    file = client.files.create(file=("x.jsonl", json.dumps(line).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wait_until(lambda: bool(lines_of(stack, "[JOB]", batch_id=batch.id)), "the line's run")
    assert lines_of(stack, "[BATCH]", batch_id=batch.id)


def test_no_line_has_a_prompt_an_answer_or_a_secret(stack: Stack) -> None:
    """Whatever becomes of a request: answered, streamed, refused, failed, killed with its worker, called back."""
    secret = f"secret-{secrets.token_hex(8)}"
    stack.simulator.add_rule({"text": f"answer {secret}"})
    path, body = "/v1/chat/completions", chat_body(secret)
    key = {"Authorization": f"Bearer {secret}"}
    assert stack.http("POST", path, body, key).status == 200
    assert "[DONE]" in stack.http("POST", path, {**body, "stream": True}).body
    wrong = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "required": [secret]}}}
    assert stack.http("POST", path, {**body, "response_format": wrong}).status == 422
    assert stack.http("POST", path, {**body, "messages": [{"role": secret}]}).status == 400
    assert stack.http("POST", path, {**body, "model": secret}).status == 404
    stack.simulator.set_rules([{"respond": {"error": {"status": 400, "message": f"{secret} is too long"}}}])
    assert stack.http("POST", path, body).status == 400
    stack.simulator.set_rules([{"respond": {"text": secret}, "latency_ms": 60_000, "times": 1}])
    asked = len(stack.asked(secret))
    job = stack.submit(secret, callback_url=f"http://127.0.0.1:9/{secret}", metadata={"k": secret})
    wait_until(lambda: len(stack.asked(secret)) > asked, "the job's turn")
    stack.worker_processes()[0].kill()
    stack.wait_for(job)
    wait_until(lambda: bool(lines_of(stack, "[CALLBACK]", job_id=job)), "the callback's line")
    assert lines_of(stack, "[RECOVERY]", job_id=job)
    log = stack.log.read_text()
    assert secret not in log
    assert (stack.data_dir / "webhook-secret").read_text().strip() not in log.replace(shown_once(log), "")
    assert "offline-no-real-key" not in log


def shown_once(log: str) -> str:
    """The screen of the first start has the new secret, and says so."""
    return next(line for line in log.splitlines() if "signed with whsec_" in line)


def test_content_is_logged_when_asked_for() -> None:
    """The beginning of the prompt and of the answer; never a key in them."""
    code = (
        "from app import logs; from app.settings import Settings\n"
        "logs.configure(Settings.from_environment(), 'w'); logs.content('prompt', 'my key is sk-ant-1234567 ' + 'x' * 5000)"
    )
    environment = {**os.environ, "NIGHTSHIFT_LOG_CONTENT": "1", "ANTHROPIC_API_KEY": "sk-ant-1234567"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "[CONTENT] prompt: my key is *** xxx" in done.stderr
    assert len(done.stderr) < 2200
