"""`POST /v1/responses`: parse, hand over, wait (or not), answer."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from api import headers
from api.openai import answering, response_reading, submission
from api.openai.stored_items import StoredItems
from api.openapi_meta import EVENTS, JSON, described
from api.services import current_services
from app import clock, errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs.record import JobKind
from app.openai.responses import as_chat
from app.openai.responses.accept import accept
from app.openai.responses.fields import RESPONSE_FIELDS
from app.openai.responses.request import ResponseRequest

if TYPE_CHECKING:
    from app.openai.responses.accept import AcceptedResponse

blueprint = Blueprint("responses", __name__)


@blueprint.post("/v1/responses")
@described(
    body=ResponseRequest,
    fields=RESPONSE_FIELDS,
    headers=headers.OF_A_JOB,
    answers={200: (JSON, EVENTS)},
    errors=submission.ERRORS,
)
def create() -> Response:
    """OpenAI's response object, or its stream; with `background` at once, still queued."""
    services = current_services()
    accepted, fence = submission.read(services, partial(accept, stored=StoredItems(services)))
    _check_size(accepted, services.settings.max_body_bytes)
    background, streams = bool(accepted.request.background), bool(accepted.request.stream)
    seconds = headers.timeout_seconds(services.settings, is_async=background)
    with ExitStack() as until_answered:
        if streams or not background:
            until_answered.enter_context(services.waiting.place)
        record = submission.submit(
            services, accepted, fence, seconds, kind=JobKind.RESPONSE, job_id=accepted.id, background=background
        )
        del accepted
        if background and not streams:
            return jsonify(response_reading.object_of(services, services.jobs.get(record.id) or record))
        if background:
            # The job itself has a waiter that never leaves; this one may.
            services.jobs.arrive(record.id, submission.waiter(), max(1.0, record.deadline_at - clock.now()))
        try:
            if streams:
                return response_reading.stream_of(services, record, seconds, until_answered)
            return answering.answered(services, record, seconds, as_chat.in_its_words)
        except ErrorReply as error:
            raise as_chat.in_its_words(error) from error


def _check_size(accepted: AcceptedResponse, limit: int) -> None:
    """Raises `ErrorReply` (400) for one that is larger than a body may be, by what came before it."""
    if accepted.request.previous_response_id and len(json.dumps(accepted.payload)) > limit:
        raise errors.invalid_request(
            f"With what came before, the conversation is larger than {limit} bytes (NIGHTSHIFT_MAX_BODY_BYTES).",
            param="previous_response_id",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        )
