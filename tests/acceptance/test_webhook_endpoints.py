"""Callback endpoints that OpenAI's own client registers, on the whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.acceptance import test_batches as batches
from tests.integration.webhooks.receiver import Receiver, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Stack


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as found:
        yield found


@pytest.fixture
def client(stack: Stack) -> Any:
    return stack.client(_strict_response_validation=True)


def unwrap(secret: str, receiver: Receiver, number: int = -1) -> Any:
    got = receiver.received[number]
    return openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(got.body, got.headers)


def test_a_registered_endpoint_is_told(stack: Stack, client: Any, receiver: Receiver) -> None:
    """Each end of a background response comes as OpenAI's event, and its id leads to the response."""
    types = ["response.completed", "response.incomplete", "response.failed", "response.cancelled", "batch.completed"]
    endpoint = client.webhooks.create(name="mine", url=receiver.url(), event_types=types)
    try:
        stack.simulator.add_rule({"text": "cut", "stop_reason": "max_tokens"}, match={"contains": "cut"})
        stack.simulator.add_rule({"error": {"status": 400, "message": "no"}}, match={"contains": "fail"})
        stack.simulator.add_rule({"text": "late"}, latency_ms=60_000, match={"contains": "cancel"})
        made = {
            kind: client.responses.create(model="sonnet", input=kind, background=True).id
            for kind in ("done", "cut", "fail", "cancel")
        }
        client.responses.create(model="sonnet", input="waited for")
        client.responses.cancel(made["cancel"])
        receiver.wait_for(4)
        found = [unwrap(endpoint.signing_secret, receiver, number) for number in range(4)]
        assert {event.type: event.data.id for event in found} == {
            "response.completed": made["done"],
            "response.incomplete": made["cut"],
            "response.failed": made["fail"],
            "response.cancelled": made["cancel"],
        }
        assert len(receiver.received) == 4
    finally:
        client.webhooks.delete(endpoint.id)


def test_a_registered_endpoint_is_told_of_batches(stack: Stack, client: Any, receiver: Receiver) -> None:
    """A batch that completed and one that was cancelled, of whom neither named a callback."""
    types = ["batch.completed", "batch.cancelled"]
    endpoint = client.webhooks.create(name="nights", url=receiver.url(), event_types=types)
    try:
        stack.simulator.add_rule({"text": "late"}, latency_ms=60_000, match={"contains": "cancel"})
        done = batches.start(stack, [batches.line("a")])
        cancelled = batches.start(stack, [batches.line("cancel")])
        client.batches.cancel(cancelled.id)
        receiver.wait_for(2)
        found = [unwrap(endpoint.signing_secret, receiver, number) for number in range(2)]
        assert {event.type: event.data.id for event in found} == {
            "batch.completed": done.id,
            "batch.cancelled": cancelled.id,
        }
    finally:
        client.webhooks.delete(endpoint.id)


def test_managing(client: Any, receiver: Receiver) -> None:
    """Create, look, list, change, rotate, test and delete, as the stock client does them."""
    made = client.webhooks.create(name="mine", url=receiver.url(), event_types=["response.completed"])
    assert made.signing_secret.startswith("whsec_")
    assert client.webhooks.retrieve(made.id).name == "mine"
    assert [one.id for one in client.webhooks.list(limit=1)] == [made.id]
    changed = client.webhooks.update(made.id, name="other", event_types=["response.failed"])
    assert (changed.name, changed.event_types, changed.url) == ("other", ["response.failed"], made.url)
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    tested = client.webhooks.test(made.id, event_type="response.failed")
    assert (tested.status_code, tested.success) == (200, True)
    for secret in (made.signing_secret, rotated.signing_secret):
        assert unwrap(secret, receiver).type == "response.failed"
    assert "response.completed" in client.webhooks.event_types.list().data
    assert client.webhooks.delete(made.id).deleted
    for call in (client.webhooks.retrieve, client.webhooks.delete, client.webhooks.rotate_secret):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["video.completed"]}, "event_types[0]"),
        ({"name": ""}, "name"),
    ],
)
def test_refused(client: Any, receiver: Receiver, fields: dict[str, Any], param: str) -> None:
    """An address that may not be connected to, and events that never come, are a 400 that names the parameter."""
    asked = {"name": "mine", "url": receiver.url(), "event_types": ["response.completed"], **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        client.webhooks.create(**asked)
    assert caught.value.param == param


def test_a_test_that_nobody_answers(client: Any) -> None:
    """It says that there was no answer, and is not sent again by the client."""
    made = client.webhooks.create(name="mine", url="http://127.0.0.1:9/", event_types=["response.completed"])
    with pytest.raises(openai.InternalServerError) as caught:
        client.webhooks.test(made.id, event_type="response.completed")
    assert caught.value.code == "webhook_test_failed"
    client.webhooks.delete(made.id)
