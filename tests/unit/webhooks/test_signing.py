"""Signatures, judged by the two verifiers that receivers use."""

from __future__ import annotations

import base64
import time

import openai
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.events import Event
from app.webhooks.signing import WebhookSecretError, make_secret, parse_secrets, signed_headers


def client(secret: str) -> openai.OpenAI:
    """A stock client that verifies with that secret."""
    return openai.OpenAI(api_key="x", webhook_secret=secret)


@pytest.mark.parametrize("type_", ["chat.completion.completed", "chat.completion.failed", "response.completed"])
def test_both_verifiers_accept(type_: str) -> None:
    """OpenAI's client and the standardwebhooks package verify an event, and read the same from it."""
    secret = make_secret()
    event = Event.new(type_, {"id": "chatcmpl-1"})
    headers = signed_headers([secret], event.id, event.body, time.time())
    unwrapped = client(secret).webhooks.unwrap(event.body, headers)
    assert (unwrapped.id, unwrapped.type, unwrapped.data.id) == (event.id, type_, "chatcmpl-1")  # type: ignore[union-attr]
    assert Webhook(secret).verify(event.body, headers) == {
        "id": event.id,
        "object": "event",
        "created_at": event.created_at,
        "type": type_,
        "data": {"id": "chatcmpl-1"},
    }


def test_rotation() -> None:
    """While two secrets are set, a receiver that knows either verifies, and one that knows neither does not."""
    old, new = make_secret(), make_secret()
    event = Event.new("chat.completion.completed", {"id": "chatcmpl-1"})
    headers = signed_headers(parse_secrets(f"{new}, {old}"), event.id, event.body, time.time())
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        client(secret).webhooks.unwrap(event.body, headers)
        Webhook(secret).verify(event.body, headers)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client(make_secret()).webhooks.unwrap(event.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret()).verify(event.body, headers)


def test_one_more_space_is_refused() -> None:
    """What was signed are the bytes, not their meaning."""
    secret = make_secret()
    event = Event.new("chat.completion.completed", {"id": "chatcmpl-1"})
    headers = signed_headers([secret], event.id, event.body, time.time())
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client(secret).webhooks.unwrap(event.body + b" ", headers)


def test_old_timestamp_is_refused() -> None:
    """A signature of six minutes ago is no good, which is why each attempt signs anew."""
    secret = make_secret()
    headers = signed_headers([secret], "evt_1", b"{}", time.time() - 360)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client(secret).webhooks.unwrap(b"{}", headers)


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Tokyo"])
def test_time_zone_of_the_host_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signed timestamp is the sent one on a host with any local time."""
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        test_both_verifiers_accept("chat.completion.completed")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_made_secrets_differ_and_parse() -> None:
    """A made secret is one that the parser takes, and never the same twice."""
    first, second = make_secret(), make_secret()
    assert first != second
    assert parse_secrets(first) == (first,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "secret",
        base64.b64encode(b"x" * 32).decode(),
        "whsec_",
        "whsec_AAAA",
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_" + "!" * 44,
        "whsec_" + base64.b64encode(b"x" * 32).decode().rstrip("="),
    ],
)
def test_bad_secrets(text: str) -> None:
    """A secret that verifiers would read in different ways is refused, and not repeated in the message."""
    with pytest.raises(WebhookSecretError) as caught:
        parse_secrets(text)
    assert "whsec_AAAA" not in str(caught.value)
