"""`POST /v1/chat/completions` and `POST /v1/completions`, by the same jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from api.openai import answering, submission
from api.openai.chunks import Chunks, TextChunks
from api.openapi_meta import EVENTS, JSON, described
from app import ids
from app.jobs.record import JobKind
from app.openai.accept import accept
from app.openai.chat_request import ChatRequest
from app.openai.completions.accept import accept as accept_text
from app.openai.completions.fields import COMPLETION_FIELDS
from app.openai.completions.request import CompletionRequest
from app.openai.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.openai.stream import Shape

blueprint = Blueprint("chat", __name__)
text_blueprint = Blueprint("completions", __name__)


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
