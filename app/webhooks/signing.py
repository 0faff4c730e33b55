"""Signatures as Standard Webhooks has them, and as `openai.OpenAI().webhooks.unwrap()` reads them.

Source of the format: https://www.standardwebhooks.com (`webhook-id`, `webhook-timestamp` in seconds,
`webhook-signature: v1,<base64 HMAC-SHA256 of "id.timestamp.body">`, several separated by spaces).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "whsec_"
#: bytes; what the Standard Webhooks specification asks of a key
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


class WebhookSecretError(ValueError):
    """A webhook secret is wrong. The message says what one looks like, and never contains it."""


def make_secret() -> str:
    """A new secret: `whsec_` + base64 of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def parse_secrets(text: str) -> tuple[str, ...]:
    """The secrets in a setting: one, or several separated by commas or blanks while they are being rotated.

    Raises:
        WebhookSecretError: none there, or one that the verifiers would read in different ways.
    """
    found = tuple(text.replace(",", " ").split())
    if not found:
        raise WebhookSecretError("NIGHTSHIFT_WEBHOOK_SECRET is empty: callbacks cannot be signed.")
    for secret in found:
        # Checked strictly: `b64decode` skips what it does not know, and pads or not, by verifier.
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith(_PREFIX) or not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
            raise WebhookSecretError(
                "A secret in NIGHTSHIFT_WEBHOOK_SECRET is not 'whsec_' followed by base64 of"
                f" {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes. Make one with:"
                ' echo "whsec_$(openssl rand -base64 32)"'
            )
    return found


def signed_headers(secrets_: Sequence[str], event_id: str, body: bytes, now: float) -> dict[str, str]:
    """The three headers of one attempt.

    Args:
        secrets_: as `parse_secrets` returns them; each signs, so that a receiver may know any one of them.
        event_id: the same at every attempt.
        body: the exact bytes that are sent; UTF-8.
        now: seconds since the epoch; verifiers accept it for 300 s, so each attempt has a fresh one.
    """
    timestamp = int(now)
    # In UTC: the package takes the fields of any other zone for UTC's.
    moment = datetime.fromtimestamp(timestamp, tz=UTC)
    text = body.decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, moment, text) for secret in secrets_),
    }
