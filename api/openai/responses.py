"""`POST /v1/responses`: parse, hand over, wait (or not), answer."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, jsonify

from api import client_socket, deadlines, idempotency, params, tracing
from api.described import EVENTS, JSON, described
from api.errors import answer
from api.openai import response_reading, submission
from api.openai.stored_items import StoredItems
from api.services import Services, services
from api.waiting import Wait
from app import clock, errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs.record import JobKind, JobRecord, Status
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
    headers=submission.HEADERS,
    answers={200: (JSON, EVENTS)},
    errors=submission.ERRORS,
)
def create() -> Response:
    """OpenAI's response object, or its stream; with `background` at once, still queued."""
    here = services()
    body = params.read_body()
    accepted = _accept(here, body)
    asked = accepted.request
    background, streams = bool(asked.background), bool(asked.stream)
    seconds = deadlines.timeout_seconds(here.settings, is_async=background)
    fence = idempotency.fence(body)
    del body
    with ExitStack() as until_answered:
        if streams or not background:
            until_answered.enter_context(here.waiting.place)
        record = submission.submit(here, _record(here, accepted, seconds), accepted.payload, fence, seconds)
        del accepted
        if background and not streams:
            return jsonify(response_reading.object_of(here, here.jobs.get(record.id) or record))
        if background:
            # The job itself has a waiter that never leaves; this one may.
            here.waiters.arrive(record.id, submission.waiter(), max(1.0, record.deadline_at - clock.now()))
        try:
            if streams:
                return response_reading.stream_of(here, record, seconds, until_answered)
            return _answer(here, record, seconds)
        except ErrorReply as error:
            raise as_chat.in_its_words(error) from error


def _answer(here: Services, record: JobRecord, seconds: float) -> Response:
    wait = Wait(
        record=record,
        deadline_at=clock.now() + seconds,
        timeout_seconds=seconds,
        is_gone=client_socket.is_gone(),
        hangs_up_at=deadlines.hangs_up_at(streams=False),
        waiter=submission.waiter(),
    )
    outcome = here.waiting.wait(wait)
    error = outcome.error
    response = jsonify(outcome.body) if error is None else answer(as_chat.in_its_words(error))
    response.headers.update(outcome.headers)
    return response


def _accept(here: Services, body: bytes) -> AcceptedResponse:
    """Raises `ErrorReply` (400, 404, 415)."""
    accepted = accept(params.json_object(body), here.settings, StoredItems(here))
    tracing.name_ignored(accepted.ignored)
    submission.check_callback_url(accepted.request.callback_url, here.settings)
    limit = here.settings.max_body_bytes
    if accepted.request.previous_response_id and len(json.dumps(accepted.payload)) > limit:
        raise errors.invalid_request(
            f"With what came before, the conversation is larger than {limit} bytes (NIGHTSHIFT_MAX_BODY_BYTES).",
            param="previous_response_id",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        )
    return accepted


def _record(here: Services, accepted: AcceptedResponse, seconds: float) -> JobRecord:
    now = clock.now()
    asked = accepted.request
    return JobRecord(
        id=accepted.id,
        kind=JobKind.RESPONSE,
        status=Status.QUEUED,
        model=accepted.claude_model,
        version=accepted.version,
        created_at=now,
        deadline_at=now + seconds,
        max_attempts=min(asked.max_attempts or here.settings.max_attempts, here.settings.max_attempts),
        max_sends=asked.max_attempts or 0,
        callback_url=asked.callback_url or "",
        service_tier=asked.service_tier or "",
        background=bool(asked.background),
        is_stored=asked.is_stored,
        streams=bool(asked.stream),
        request_id=g.request_id,
        metadata=asked.metadata or {},
    )
