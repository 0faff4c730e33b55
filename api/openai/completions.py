"""`POST /v1/completions`: text completions, by the same jobs as chat completions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from api import params, tracing
from api.described import EVENTS, JSON, described
from api.openai import answering, submission
from api.openai.answering import Checked
from api.openai.text_chunks import TextChunks
from app import ids
from app.jobs.record import COMPLETION_VERSION, JobKind
from app.openai.completions.accept import accept
from app.openai.completions.fields import COMPLETION_FIELDS
from app.openai.completions.request import CompletionRequest

if TYPE_CHECKING:
    from app.jobs.record import JobRecord
    from app.settings import Settings

blueprint = Blueprint("completions", __name__)


@blueprint.post("/v1/completions")
@described(
    body=CompletionRequest,
    fields=COMPLETION_FIELDS,
    headers=answering.HEADERS,
    answers={200: (JSON, EVENTS), 202: (JSON,)},
    errors=submission.ERRORS,
)
def create() -> Response:
    """OpenAI's text completion, or its stream; with `Prefer: respond-async` or `callback_url` 202, the job and its `Location`."""
    return answering.respond(_check)


def _check(body: bytes, settings: Settings) -> Checked:
    """Raises `ErrorReply` (400, 404, 415)."""
    accepted = accept(params.json_object(body), settings)
    tracing.name_ignored(accepted.ignored)
    asked = accepted.request
    return Checked(
        kind=JobKind.TEXT_COMPLETION,
        job_id=ids.new_text_completion_id(),
        claude_model=accepted.claude_model,
        payload=accepted.payload,
        shape=partial(_chunks, include_usage=asked.include_usage, echo=asked.prompts[0] if asked.echo else ""),
        streams=bool(asked.stream),
        callback_url=asked.callback_url,
        max_attempts=asked.max_attempts,
        metadata=asked.metadata,
        service_tier=asked.service_tier,
        version=COMPLETION_VERSION,
    )


def _chunks(record: JobRecord, *, include_usage: bool, echo: str) -> TextChunks:
    return TextChunks(record.id, int(record.created_at), record.model, include_usage=include_usage, echo=echo)
