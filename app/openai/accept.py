"""From a request's JSON to what a job is made of, the same for a request by itself and for a line of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.errors import invalid_value
from app.messages.conversation import conversation
from app.messages.translation import asked_sampling, beside_thinking, thinking_of
from app.openai import fields, model_names
from app.openai.chat_request import ChatRequest
from app.openai.extras import take_extras
from app.openai.faults import from_validation
from app.openai.payload_version import oldest_version

if TYPE_CHECKING:
    from app.settings import Settings


@dataclass(frozen=True)
class Accepted:
    """A chat request that may run."""

    chat: ChatRequest
    claude_model: str
    #: the job's: see `ChatRequest.to_payload`
    payload: dict[str, Any]
    #: paths of the fields that had no effect
    ignored: list[str]
    #: `JobRecord.version`
    version: int


def accept(sent: dict[str, Any], settings: Settings) -> Accepted:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    kept, ignored = fields.decide(sent, ignorable=settings.ignore_fields)
    chat = read(kept)
    ignored += take_extras(chat)
    claude_model = model_names.resolve(chat.model, settings)
    payload = chat.to_payload(claude_model)
    ignored += check(chat, payload["request"], settings)
    return Accepted(chat, claude_model, payload, ignored, oldest_version(payload["request"]))


def read(sent: dict[str, Any]) -> ChatRequest:
    """The chat request that the decided fields are. Raises `ErrorReply` (400)."""
    try:
        return ChatRequest.model_validate(sent)
    except ValidationError as error:
        raise from_validation(error, sent) from error


def check(chat: ChatRequest, request: dict[str, Any], settings: Settings) -> list[str]:
    """What the worker will make of it that can be known without Claude: `request` is the chat request as JSON.

    The names of fields that will have no effect. Raises `ErrorReply` (400).
    """
    conversation(request["messages"])
    if chat.forces_answer:
        return ["reasoning_effort"] if chat.reasoning_effort not in (None, "none", "minimal") else []
    asked = asked_sampling(request)
    if not asked or thinking_of(request) is None:
        return []
    lost = sorted(asked.keys() - beside_thinking(asked).keys())
    if lost and settings.unsupported_sampling == "error":
        raise invalid_value(lost[0], "Claude does not take this value beside thinking ('reasoning_effort')")
    return lost
