"""From a text completion's JSON to what a job is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.errors import ErrorReply
from app.openai import fields, model_names
from app.openai.accept import Accepted, take_extras
from app.openai.accept import accept as accept_chat
from app.openai.completions import as_chat
from app.openai.completions.fields import COMPLETION_FIELDS
from app.openai.completions.request import CompletionRequest
from app.openai.faults import from_validation

if TYPE_CHECKING:
    from app.settings import Settings

#: what is not part of the request as it is kept: the record has it, or it has no meaning later
_NOT_KEPT = {"stream", "stream_options", "callback_url", "max_attempts", "service_tier", "metadata", "best_of"}
#: `JobRecord.version`: before it there were no text completions
_VERSION = 3


def accept(sent: dict[str, Any], settings: Settings) -> Accepted[CompletionRequest]:
    """Decide on every field, check it, resolve the model. Raises `ErrorReply` (400, 404)."""
    kept, ignored = fields.decide(sent, COMPLETION_FIELDS, ignorable=settings.ignore_fields)
    try:
        request = CompletionRequest.model_validate(kept)
    except ValidationError as error:
        raise from_validation(error, kept) from error
    ignored += take_extras(request)
    claude_model = model_names.resolve(request.model, settings)
    asked = request.model_dump(mode="json", exclude_unset=True, exclude=_NOT_KEPT)
    for number in range(0, as_chat.answers(asked), request.n or 1):
        try:
            chat = accept_chat(as_chat.chat_request(asked, number), settings)
        except ErrorReply as error:
            raise as_chat.in_its_words(error, asked, number) from error
        ignored += [name for name in chat.ignored if name not in ignored]
    payload = {"claude_model": claude_model, "completion": asked}
    return Accepted(request, claude_model, payload, ignored, _VERSION)
