"""Jobs of `/v1/responses`: read as the chat request that means the same, answered with the response object."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.openai.responses import as_chat, objects
from app.openai.responses.places import Places

if TYPE_CHECKING:
    from app.errors import ErrorReply
    from app.jobs.record import JobRecord
    from app.outcome import Outcome

#: where such a job's payload has its request; other payloads have a chat request instead
RESPONSE = "response"


def as_chat_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload of a chat completion; one of it as it is."""
    if RESPONSE not in payload:
        return payload
    return {"claude_model": payload["claude_model"], "request": as_chat.chat_request(payload[RESPONSE])}


def in_its_words(error: ErrorReply, payload: dict[str, Any]) -> ErrorReply:
    """An error about the chat request, in the words of the request that the client sent."""
    if RESPONSE not in payload:
        return error
    # Older jobs have no places.
    return as_chat.in_its_words(error, Places(payload[RESPONSE], payload.get("places", ())))


def as_asked(outcome: Outcome, payload: dict[str, Any], record: JobRecord) -> Outcome:
    """The completion as the client asked for it: as a response where it did."""
    if RESPONSE not in payload or outcome.body is None:
        return outcome
    return replace(outcome, body=objects.finished(record, payload[RESPONSE], outcome.body, time.time()))
