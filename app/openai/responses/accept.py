"""From a response request's JSON to what a job is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.openai import fields, model_names
from app.openai.chat_request import ChatRequest
from app.openai.extras import take_extras
from app.openai.faults import from_validation
from app.openai.responses import as_chat
from app.openai.responses.fields import RESPONSE_FIELDS
from app.openai.responses.items import LEFT_OUT, user_text
from app.openai.responses.request import ResponseRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.settings import Settings

Items = list[dict[str, Any]]

#: fields without an effect that the response repeats
_REPEATED = ("safety_identifier", "prompt_cache_key")
#: what is not part of the request as it is kept: it is told in the record, or has no meaning later
_NOT_KEPT = {"stream", "callback_url", "max_attempts", "include", "truncation", "service_tier", "input"}


@dataclass(frozen=True)
class AcceptedResponse:
    """A response request that may run."""

    request: ResponseRequest
    claude_model: str
    #: `{claude_model, response: {...}}`; its `input` is the whole conversation, as items with ids
    payload: dict[str, Any]
    #: paths of the fields that had no effect
    ignored: list[str]


def accept(sent: dict[str, Any], settings: Settings, previous: Callable[[str], Items]) -> AcceptedResponse:
    """Decide on every field, check it, resolve the model. `previous` gives the conversation up to an earlier response.

    Raises `ErrorReply` (400, 404).
    """
    kept, ignored = fields.decide(sent, RESPONSE_FIELDS)
    ignored += _leave_out(kept)
    try:
        request = ResponseRequest.model_validate(kept)
    except ValidationError as error:
        raise from_validation(error, kept) from error
    ignored += take_extras(request)
    if request.truncation == "auto":
        ignored.append("truncation")
    ignored += ["include"] if request.include else []
    claude_model = model_names.resolve(request.model, settings)
    asked = request.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_KEPT)
    asked |= {name: sent[name] for name in _REPEATED if isinstance(sent.get(name), str)}
    asked["input"] = _own_items(request)
    if request.previous_response_id is not None:
        asked["input"] = previous(request.previous_response_id) + asked["input"]
    chat = as_chat.chat_request(asked)
    try:
        checked = ChatRequest.model_validate(chat)
    except ValidationError as error:
        raise as_chat.in_its_words(from_validation(error, chat)) from error
    if checked.forces_answer and checked.reasoning_effort not in (None, "none", "minimal"):
        ignored.append("reasoning.effort")
    return AcceptedResponse(request, claude_model, {"claude_model": claude_model, "response": asked}, ignored)


def _own_items(request: ResponseRequest) -> Items:
    if isinstance(request.input, str):
        return [user_text(request.input)]
    return [item.plain() for item in request.input]


def _leave_out(kept: dict[str, Any]) -> list[str]:
    """Take out the items that only OpenAI's own models understand, and name them."""
    items = kept.get("input")
    if not isinstance(items, list):
        return []
    # As text, whatever it is: what is not hashable can't be looked up.
    kinds = [str(item.get("type")) if isinstance(item, dict) else "" for item in items]
    kept["input"] = [item for item, kind in zip(items, kinds, strict=True) if kind not in LEFT_OUT]
    return sorted({f"input[].{kind}" for kind in kinds if kind in LEFT_OUT})
