"""Deliveries from a real outbox to a real receiver."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import openai
import pytest
from standardwebhooks import Webhook

from app.connection import connect
from app.jobs.store import Jobs
from app.webhooks import outbox
from app.webhooks.events import Event
from tests.integration.webhooks.receiver import Receiver, raw, status
from workers.callbacks.delivery import deliver

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

    from redis import Redis

    from workers.callbacks.tasks import CallbackContext


def store(connection: Redis, url: str) -> Event:
    """An event in the outbox, due at once."""
    event = Event.new("chat.completion.completed", {"id": "chatcmpl-1"})
    with connection.pipeline() as pipe:
        outbox.add(pipe, event, url)
        pipe.execute()
    return event


def test_success(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A receiver gets the stored bytes with headers that both verifiers accept, and the event is delivered."""
    event = store(connection, receiver.url("/hook?a=1"))
    assert deliver(event.id, context).outcome == "delivered"
    (got,) = receiver.received
    assert got.path == "/hook?a=1"
    assert got.body == event.body
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("Nightshift/")
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    secret = context.secrets[0]
    assert openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(got.body, got.headers).id == event.id
    assert Webhook(secret).verify(got.body, got.headers)["data"] == {"id": "chatcmpl-1"}
    stored = context.outbox.get(event.id)
    assert (stored.status, stored.attempts, stored.next_attempt_at) == ("delivered", 1, None)
    assert 0 < connection.ttl(f"nightshift:event:{event.id}") <= 24 * 3600


def test_a_job_that_can_not_be_looked_up(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """It is wanted for log and trace alone: the event is delivered without."""
    event = store(connection, receiver.url("/hook"))
    away = replace(context, jobs=Jobs(connect("redis://127.0.0.1:1"), context.settings))
    assert deliver(event.id, away).outcome == "delivered"


def test_retry_has_the_same_id_and_a_fresh_timestamp(
    connection: Redis, receiver: Receiver, context: CallbackContext
) -> None:
    """After a 500 the event comes again: same id and bytes, a new timestamp and a signature over it."""
    receiver.script = [status(500)]
    event = store(connection, receiver.url())
    began = time.time()
    first = deliver(event.id, context)
    assert (first.outcome, first.status) == ("retry", 500)
    assert first.next_at is not None
    assert 0.5 < first.next_at - began < 20
    later = began + 200
    assert deliver(event.id, context, clock=lambda: later).outcome == "delivered"
    one, two = receiver.received
    assert one.headers["webhook-id"] == two.headers["webhook-id"] == event.id
    assert one.body == two.body
    assert int(two.headers["webhook-timestamp"]) == int(later)
    Webhook(context.secrets[0]).verify(two.body, two.headers)
    assert [(a.number, a.status) for a in context.outbox.get(event.id).history] == [(1, 500), (2, 200)]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 304])
def test_redirects_are_failures(code: int, connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A redirect is not followed, even to an allowed host, and is tried again like any failure."""
    receiver.script = [status(code, Location=receiver.url("/elsewhere"))]
    event = store(connection, receiver.url())
    result = deliver(event.id, context)
    assert (result.outcome, result.status) == ("retry", code)
    assert [got.path for got in receiver.received] == ["/hook"]


def test_gone_stops(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """After a 410 nothing more is sent, and the event says that its endpoint is gone."""
    receiver.script = [status(410)]
    event = store(connection, receiver.url())
    assert deliver(event.id, context).outcome == "undelivered"
    assert deliver(event.id, context).outcome == "skipped"
    stored = context.outbox.get(event.id)
    assert (stored.status, stored.endpoint_gone, stored.next_attempt_at) == ("undelivered", True, None)
    assert len(receiver.received) == 1


def test_retry_after(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A busy receiver is given the time that it asks for."""
    receiver.script = [status(429, Retry_After="600")]
    event = store(connection, receiver.url())
    began = time.time()
    result = deliver(event.id, context)
    assert result.next_at is not None
    assert 599 < result.next_at - began < 610


def drip_head(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Five seconds of headers, a few bytes at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        if receiver.over.wait(0.05):
            return
        handler.wfile.write(b"X-Drip: 1\r\n")


def drip_body(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Half a minute of body, a byte at a time."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        if receiver.over.wait(0.05):
            return
        handler.wfile.write(b".")


def test_slow_drip_is_bounded(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A byte now and then does not renew the time that an attempt may take."""
    receiver.script = [lambda handler: drip_head(handler, receiver)]
    event = store(connection, receiver.url())
    result = deliver(event.id, context)
    assert (result.outcome, result.status) == ("retry", None)
    assert "no answer within" in str(result.error)


def test_endless_body_does_not_undo_a_success(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A receiver that said 200 has the event, though its body never ends; the attempt does."""
    receiver.script = [lambda handler: drip_body(handler, receiver)]
    event = store(connection, receiver.url())
    began = time.monotonic()
    assert deliver(event.id, context).outcome == "delivered"
    assert time.monotonic() - began < 3


def test_huge_answer_is_bounded(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """Of an answer without end only the first bytes are taken."""
    sent = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(500)
        handler.end_headers()
        while not receiver.over.is_set() and sent < 1 << 30:
            sent += handler.wfile.write(b"x" * 65536)

    receiver.script = [flood]
    event = store(connection, receiver.url())
    assert deliver(event.id, context).status == 500
    assert sent < 64 * 1024 * 1024


def test_huge_headers_are_bounded(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A header without end breaks the attempt off."""
    receiver.script = [raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000)]
    event = store(connection, receiver.url())
    result = deliver(event.id, context)
    assert (result.outcome, result.status) == ("retry", None)


@pytest.mark.parametrize("garbage", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"\x00\xff" * 50])
def test_not_http(garbage: bytes, connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """Something that does not speak HTTP is a failure like others."""
    receiver.script = [raw(garbage)]
    event = store(connection, receiver.url())
    assert deliver(event.id, context).outcome == "retry"


def test_nobody_there(connection: Redis, context: CallbackContext) -> None:
    """A closed port is a failure that is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    event = store(connection, f"http://127.0.0.1:{port}/")
    result = deliver(event.id, context)
    assert (result.outcome, result.error) == ("retry", "could not connect")


def test_rebinding_after_the_door(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A name that was public at the door and leads to loopback now is refused, and nobody is connected to."""
    event = store(connection, f"http://rebind.example:{receiver.port}/")
    result = deliver(event.id, replace(context, resolver=lambda _host, _port: ["127.0.0.1"]))
    assert result.outcome == "retry"
    assert "refused" in str(result.error)
    assert receiver.received == []


def test_events_that_are_over_or_unknown(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """A second call for a delivered event, and one for none, do nothing."""
    event = store(connection, receiver.url())
    deliver(event.id, context)
    assert deliver(event.id, context).outcome == "skipped"
    assert deliver("evt_unknown", context).outcome == "skipped"
    assert len(receiver.received) == 1


def test_undelivered_then_sent_again(connection: Redis, receiver: Receiver, context: CallbackContext) -> None:
    """What failed until its day was over is listed, kept for a week, and delivered when an operator sends it again."""
    receiver.script = [status(500)]
    event = store(connection, receiver.url())
    day_later = time.time() + 24 * 3600 + 1
    assert deliver(event.id, context, clock=lambda: day_later).outcome == "undelivered"
    assert [stored.event.id for stored in context.outbox.page("undelivered")] == [event.id]
    assert connection.ttl(f"nightshift:event:{event.id}") > 6 * 24 * 3600
    context.outbox.resend(event.id, day_later)
    assert connection.ttl(f"nightshift:event:{event.id}") == -1
    assert context.outbox.take_due(day_later, 10) == [(event.id, 1)]
    assert deliver(event.id, context, clock=lambda: day_later).outcome == "delivered"
    assert context.outbox.page("undelivered") == []
    assert [got.headers["webhook-id"] for got in receiver.received] == [event.id, event.id]


def test_logs_hold_no_secrets(
    connection: Redis, receiver: Receiver, context: CallbackContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the URL's token nor the signing secret nor the job's id is in a log line."""
    caplog.set_level(logging.DEBUG)
    receiver.script = [status(500)]
    deliver(store(connection, receiver.url("/hook?token=hunter2")).id, context)
    assert "[CALLBACK]" in caplog.text
    for word in ("hunter2", context.secrets[0][6:], "chatcmpl-1"):
        assert word not in "\n".join(r.getMessage() for r in caplog.records if r.name.startswith(("app", "workers")))
