"""One request seen from outside: its trace over all processes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import Stack, running
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
        wait_until(lambda: len(collector.spans(trace)) == 4, "four spans", 30)
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
    wait_until(lambda: len(collector.spans(failed)) == 3, "the spans of a failure", 30)
    assert [span.failed for span in collector.spans(failed)] == [False, False, True]
    assert collector.spans(silent) == []
