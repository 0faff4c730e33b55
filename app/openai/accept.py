"""From a request's JSON to what a job is made of, the same for a request by itself and for a line of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.openai import fields, model_names
from app.openai.chat_request import ChatRequest
from app.openai.extras import take_extras
from app.openai.faults import from_validation

if TYPE_CHECKING:
    from app.settings import Settings


@dataclass(frozen=True)
class Accepted:
    """A chat request that may run."""

    chat: ChatRequest
    claude_model: str
    #: paths of the fields that had no effect
    ignored: list[str]


def accept(sent: dict[str, Any], settings: Settings) -> Accepted:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    kept, ignored = fields.decide(sent)
    try:
        chat = ChatRequest.model_validate(kept)
    except ValidationError as error:
        raise from_validation(error, kept) from error
    ignored += take_extras(chat)
    if chat.forces_answer and chat.reasoning_effort not in (None, "none", "minimal"):
        ignored.append("reasoning_effort")
    return Accepted(chat, model_names.resolve(chat.model, settings), ignored)
