"""`POST /v1/chat/completions`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from api import params, tracing
from api.described import EVENTS, JSON, described
from api.openai import answering, submission
from api.openai.answering import Checked
from api.openai.chunks import Chunks
from app import ids
from app.jobs.record import JobKind
from app.openai.accept import accept
from app.openai.chat_request import ChatRequest
from app.openai.fields import FIELDS

if TYPE_CHECKING:
    from app.jobs.record import JobRecord
    from app.settings import Settings

blueprint = Blueprint("chat", __name__)

#: the kind of these jobs, and the first part of their events' types


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
    return answering.respond(_check)


def _check(body: bytes, settings: Settings) -> Checked:
    """Raises `ErrorReply` (400, 404, 415)."""
    accepted = accept(params.json_object(body), settings)
    tracing.name_ignored(accepted.ignored)
    chat = accepted.chat
    return Checked(
        kind=JobKind.CHAT_COMPLETION,
        job_id=ids.new_completion_id(),
        claude_model=accepted.claude_model,
        payload=accepted.payload,
        shape=partial(_chunks, include_usage=chat.include_usage),
        streams=bool(chat.stream),
        callback_url=chat.callback_url,
        max_attempts=chat.max_attempts,
        metadata=chat.metadata,
        service_tier=chat.service_tier,
        is_stored=bool(chat.store),
        version=accepted.version,
    )


def _chunks(record: JobRecord, *, include_usage: bool) -> Chunks:
    return Chunks(record.id, int(record.created_at), record.model, include_usage=include_usage)
