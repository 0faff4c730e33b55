"""From a request's JSON to what a job is made of, the same for a request by itself and for a line of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import invalid_value
from app.messages.conversation import conversation
from app.messages.translation import asked_sampling, beside_thinking, thinking_of
from app.openai import fields, model_names
from app.openai.chat_request import ChatRequest
from app.openai.faults import from_validation
from app.openai.messages import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings

#: since then results of functions may have images and files, files may be text, stop sequences white space, and a
#: conversation may be instructions only: before, the first were dropped, and the others a 400
_RICHER_REQUESTS = 3

R = TypeVar("R", bound=Wire)


@dataclass(frozen=True)
class Accepted(Generic[R]):
    """A request that may run, of whichever endpoint."""

    request: R
    claude_model: str
    #: what the worker gets, JSON-able: the model, and the request without what was not set (`app.openai.payload`)
    payload: dict[str, Any]
    #: paths of the fields that had no effect
    ignored: list[str]
    #: `JobRecord.version`
    version: int


def accept(sent: dict[str, Any], settings: Settings) -> Accepted[ChatRequest]:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    kept, ignored = fields.decide(sent, ignorable=settings.ignore_fields)
    chat = read(kept)
    ignored += take_extras(chat)
    claude_model = model_names.resolve(chat.model, settings)
    request = chat.model_dump(mode="json", by_alias=True, exclude_unset=True)
    ignored += check(chat, request, settings)
    payload = {"claude_model": claude_model, "request": request}
    return Accepted(chat, claude_model, payload, ignored, oldest_version(request))


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


def take_extras(model: BaseModel) -> list[str]:
    """Take out the unknown fields at every depth, so that no worker acts on them.

    Returns the paths of all that has no effect, indexes left out (`messages[].name`), sorted.
    """
    return sorted(set(_take(model, "")))


def _take(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        extra = value.__pydantic_extra__
        for name in list(extra or ()):
            if extra is not None and extra.pop(name) is not None:
                yield f"{path}.{name}" if path else name
            value.__pydantic_fields_set__.discard(name)
        for name, harmless in value.without_effect.items() if isinstance(value, Wire) else ():
            if getattr(value, name) not in (None, *harmless):
                yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from _take(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _take(item, f"{path}[]")


def oldest_version(request: dict[str, Any]) -> int:
    """`JobRecord.version` of a job with this chat request, JSON as it was accepted: in the midst of a restart there are older workers."""
    stop = request.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else stop
    messages = request["messages"]
    is_richer = (
        any(not one.strip() for one in stops)
        or all(message["role"] in ("system", "developer") for message in messages)
        or any(_has_richer_parts(message) for message in messages)
    )
    return _RICHER_REQUESTS if is_richer else 1


def _has_richer_parts(message: dict[str, Any]) -> bool:
    content = message.get("content")
    kinds = {part["type"] for part in content} if isinstance(content, list) else set()
    return "file" in kinds or (message["role"] == "tool" and "image_url" in kinds)
