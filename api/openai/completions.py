"""`/v1/chat/completions` and `/v1/completions`: made by the same jobs; chat completions are listed, read, labelled and deleted, too.

All are kept for a while; listed are those that `store` was asked for, as at OpenAI.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel

from api import auth, params
from api.openai import answering, submission
from api.openai.chunks import Chunks, TextChunks
from api.openapi_meta import EVENTS, JSON, METADATA, PAGING, described
from api.services import current_services
from app import errors, hashes, ids
from app.jobs.record import JobKind
from app.openai.accept import accept
from app.openai.chat_request import ChatRequest, Metadata
from app.openai.fields import FIELDS
from app.openai.model_names import resolve
from app.openai.text_completions import COMPLETION_FIELDS, CompletionRequest
from app.openai.text_completions import accept as accept_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.openai.stream import Shape
    from app.jobs.record import JobRecord


blueprint = Blueprint("chat", __name__)
text_blueprint = Blueprint("completions", __name__)
stored_blueprint = Blueprint("stored_completions", __name__)


@blueprint.post("/v1/chat/completions")
@described(
    body=ChatRequest,
    fields=FIELDS,
    headers=answering.HEADERS,
    answers={200: (JSON, EVENTS), 202: (JSON,)},
    errors=submission.ERRORS,
)
def create() -> Response:
    """OpenAI's completion, or its stream; with `Prefer: respond-async` or `callback_url` 202, the job and its `Location`."""
    return answering.respond(accept, _chunks, kind=JobKind.CHAT_COMPLETION, job_id=ids.new_completion_id())


@text_blueprint.post("/v1/completions")
@described(
    body=CompletionRequest,
    fields=COMPLETION_FIELDS,
    headers=answering.HEADERS,
    answers={200: (JSON, EVENTS), 202: (JSON,)},
    errors=submission.ERRORS,
)
def create_text() -> Response:
    """OpenAI's text completion, or its stream; with `Prefer: respond-async` or `callback_url` 202, the job and its `Location`."""
    return answering.respond(
        accept_text, _text_chunks, kind=JobKind.TEXT_COMPLETION, job_id=ids.new_text_completion_id()
    )


def _chunks(asked: ChatRequest) -> Callable[[str, int, str], Shape]:
    return partial(Chunks, include_usage=asked.include_usage)


def _text_chunks(asked: CompletionRequest) -> Callable[[str, int, str], Shape]:
    return partial(TextChunks, include_usage=asked.include_usage, echo=asked.prompts[0] if asked.echo else "")


_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class MetadataUpdate(BaseModel):
    """All of a completion that can be changed."""

    metadata: Metadata | None


@stored_blueprint.get("/v1/chat/completions")
@described(query=PAGING | METADATA | {"model": {"type": "string"}, "order": {"enum": ["asc", "desc"]}}, errors=(404,))
def list_stored() -> dict[str, Any]:
    """Those made with `store: true`, the oldest first: `?metadata[name]=value&model=&order=asc|desc&limit=&after=`."""
    services = current_services()
    size = params.limit()
    fields = {"kind": JobKind.CHAT_COMPLETION, "is_stored": hashes.to_text(True)}
    if (owner := auth.seen_owner()) is not None:
        fields["owner"] = owner
    if model := request.args.get("model"):
        fields["model"] = resolve(model, services.settings)
    records = services.jobs.completed(
        fields,
        limit=size + 1,
        after=request.args.get("after"),
        newest_first=params.choice("order", ("asc", "desc")) == "desc",
        metadata=params.metadata(),
    )
    return params.page([body for record in records if (body := _body(record)) is not None], size)


@stored_blueprint.get("/v1/chat/completions/<completion_id>")
def retrieve(completion_id: str) -> dict[str, Any]:
    """The completion; 404 for one that is not there (any more), failed, or is not done yet: its job says which."""
    body = _body(_record(completion_id))
    if body is None:
        raise _not_found(completion_id)
    return body


@stored_blueprint.post("/v1/chat/completions/<completion_id>")
@described(body=MetadataUpdate)
def update(completion_id: str) -> dict[str, Any]:
    """The completion with other metadata in place of its own."""
    sent = params.checked(MetadataUpdate, params.read_body())
    retrieve(completion_id)
    current_services().jobs.set_metadata(completion_id, sent.metadata or {})
    return retrieve(completion_id)


@stored_blueprint.get("/v1/chat/completions/<completion_id>/messages")
@described(query=PAGING | {"order": {"enum": ["asc", "desc"]}})
def messages(completion_id: str) -> dict[str, Any]:
    """What a completion made with `store: true` was asked, the first message first: `?order=asc|desc&limit=&after=`."""
    record = _record(completion_id)
    request_of = current_services().jobs.request(completion_id) if record.is_stored else None
    if request_of is None:
        raise errors.not_found(
            f"The messages of '{completion_id[:100]}' are not kept: they are, for completions made with 'store': true.",
            param="id",
        )
    asked = request_of["request"]["messages"]
    found = [_stored_message(f"{completion_id}-{number}", message) for number, message in enumerate(asked)]
    if params.choice("order", ("asc", "desc")) == "desc":
        found.reverse()
    size = params.limit()
    rest = params.after(found, lambda message: str(message["id"]))
    return params.page(list(rest[: size + 1]), size)


@stored_blueprint.delete("/v1/chat/completions/<completion_id>")
def delete(completion_id: str) -> dict[str, Any]:
    """It is gone for who asks for it; one that runs is cancelled."""
    _record(completion_id)
    current_services().jobs.delete(completion_id)
    return {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}


def _record(completion_id: str) -> JobRecord:
    record = current_services().jobs.get(completion_id) if _ID.fullmatch(completion_id) else None
    if record is None or record.kind != JobKind.CHAT_COMPLETION or record.is_deleted or not auth.may_see(record.owner):
        raise _not_found(completion_id)
    return record


def _body(record: JobRecord) -> dict[str, Any] | None:
    """The completion with the metadata of its job."""
    outcome = current_services().jobs.outcome(record.id)
    return None if outcome is None or outcome.body is None else {**outcome.body, "metadata": dict(record.metadata)}


def _stored_message(message_id: str, message: dict[str, Any]) -> dict[str, Any]:
    """As OpenAI lists it: what was sent as parts is in `content_parts`, all else as it was sent."""
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    return {
        **message,
        "id": message_id,
        "content": None if parts is not None else content,
        "content_parts": parts,
        "name": message.get("name"),
        "refusal": message.get("refusal"),
    }


def _not_found(completion_id: str) -> errors.ErrorReply:
    return errors.not_found(f"Chat completion '{completion_id[:100]}' not found.", param="id")
