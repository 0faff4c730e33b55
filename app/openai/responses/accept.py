"""From a response request's JSON to what a job is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from app import ids
from app.errors import ErrorReply
from app.openai import accept as chat_accept
from app.openai import fields, model_names
from app.openai.accept import Accepted, oldest_version, take_extras
from app.openai.faults import from_validation
from app.openai.responses import as_chat
from app.openai.responses.items import LEFT_OUT, ItemReference, user_text
from app.openai.responses.objects import name_inputs
from app.openai.responses.request import REFUSED_INCLUDES, RESPONSE_FIELDS, ResponseRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.settings import Settings

Items = list[dict[str, Any]]

#: fields without an effect that the response repeats
_REPEATED = ("safety_identifier", "prompt_cache_key")
#: what is not kept of the request: the job's record has it, or it has no meaning later
_NOT_KEPT = {"stream", "callback_url", "max_attempts", "include", "truncation", "service_tier", "input"}


class Stored(Protocol):
    """What earlier responses have left to build upon. Both raise `ErrorReply` (400, 404) for what there is not."""

    def conversation(self, response_id: str) -> Items:
        """All items up to that response, its output included."""
        ...

    def item(self, item_id: str) -> dict[str, Any]:
        """An item of a response's input or output."""
        ...


@dataclass(frozen=True)
class AcceptedResponse(Accepted[ResponseRequest]):
    """A response request that may run.

    Its payload is `{claude_model, response: {...}, places: [...]}`. The response's `input` is the whole conversation, as items
    with ids; for each of them `places` has its index in the request's own input, or None (`as_chat.Places.items`).
    """

    #: the id that its response will have: those of its items are made of it
    id: str


def accept(sent: dict[str, Any], settings: Settings, stored: Stored) -> AcceptedResponse:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    response_id = ids.new_response_id()
    kept, ignored = fields.decide(sent, RESPONSE_FIELDS, ignorable=settings.ignore_fields)
    own_places, left_out = _leave_out(kept)
    ignored += left_out
    if "logprobs" in settings.ignore_fields and _leave_out_includes(kept):
        ignored.append("include")
    try:
        request = ResponseRequest.model_validate(kept)
    except ValidationError as error:
        found = from_validation(error, kept)
        raise as_chat.renamed(found, as_chat.as_sent(found.param or "", own_places)) from error
    ignored += take_extras(request)
    if request.truncation == "auto":
        ignored.append("truncation")
    if request.include and "include" not in ignored:
        ignored.append("include")
    claude_model = model_names.resolve(request.model, settings)
    asked = request.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_KEPT)
    asked |= {name: sent[name] for name in _REPEATED if isinstance(sent.get(name), str)}
    own = _own_items(request, stored, own_places)
    name_inputs(own, response_id)
    inherited = stored.conversation(request.previous_response_id) if request.previous_response_id is not None else []
    asked["input"] = inherited + own
    places: list[int | None] = [*[None] * len(inherited), *own_places]
    chat = as_chat.chat_request(asked)
    try:
        checked = chat_accept.read(chat)
        no_effect = chat_accept.check(checked, chat, settings)
    except ErrorReply as error:
        raise as_chat.in_its_words(error, as_chat.Places(asked, places)) from error
    ignored += [as_chat.spell(name) for name in no_effect]
    payload = {"claude_model": claude_model, "response": asked, "places": places}
    return AcceptedResponse(request, claude_model, payload, ignored, oldest_version(chat), id=response_id)


def _own_items(request: ResponseRequest, stored: Stored, places: Sequence[int]) -> Items:
    if isinstance(request.input, str):
        return [user_text(request.input)]
    found: Items = []
    for place, item in zip(places, request.input, strict=True):
        if isinstance(item, ItemReference):
            try:
                found.append(stored.item(item.id))
            except ErrorReply as error:
                raise error.at(f"input[{place}]") from error
        else:
            found.append(item.plain())
    return found


def _leave_out(kept: dict[str, Any]) -> tuple[list[int], list[str]]:
    """Take out the items that only OpenAI's own models understand: the indexes of the others, and the names of these."""
    items = kept.get("input")
    if not isinstance(items, list):
        return [0], []
    # As text, whatever it is: what is not hashable can't be looked up.
    kinds = [str(item.get("type")) if isinstance(item, dict) else "" for item in items]
    places = [index for index, kind in enumerate(kinds) if kind not in LEFT_OUT]
    kept["input"] = [items[index] for index in places]
    return places, sorted({f"input[].{kind}" for kind in kinds if kind in LEFT_OUT})


def _leave_out_includes(kept: dict[str, Any]) -> bool:
    """Take out what `include` may not name, where that is to be ignored. Whether there was any."""
    names = kept.get("include")
    if not isinstance(names, list):
        return False
    # Whatever it is: what is not hashable can't be looked up.
    left = [name for name in names if not isinstance(name, str) or name not in REFUSED_INCLUDES]
    kept["include"] = left
    return len(left) < len(names)
