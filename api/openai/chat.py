"""`POST /v1/chat/completions`: parse, hand over, wait (or not), answer."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, jsonify, request

from api import client_socket, deadlines, idempotency, job_object, params, tracing
from api.described import EVENTS, JSON, described
from api.errors import answer
from api.openai import stream, submission
from api.openai.chunks import Chunks
from api.services import Services, services
from api.waiting import Wait
from app import errors, ids
from app.jobs.record import JobRecord, Status
from app.openai.accept import accept
from app.openai.chat_request import ChatRequest
from app.openai.fields import FIELDS

if TYPE_CHECKING:
    from app.openai.accept import Accepted
    from app.outcome import Outcome
    from app.settings import Settings

blueprint = Blueprint("chat", __name__)

#: the kind of these jobs, and the first part of their events' types
KIND = "chat.completion"


@dataclass(frozen=True)
class _Accepted:
    """What is left of a request once its job is in the queue. Small: hundreds of these wait."""

    record: JobRecord
    timeout_seconds: float
    is_async: bool
    streams: bool
    include_usage: bool


@blueprint.post("/v1/chat/completions")
@described(
    body=ChatRequest,
    fields=FIELDS,
    headers=submission.HEADERS | {"Prefer": {"type": "string", "examples": ["respond-async"]}},
    answers={200: (JSON, EVENTS), 202: (JSON,)},
    errors=submission.ERRORS,
)
def create() -> Response:
    """OpenAI's completion, or its stream; with `Prefer: respond-async` or `callback_url` 202, the job and its `Location`."""
    here = services()
    if _prefers_async():
        return _accepted(here, _accept(here))
    with ExitStack() as until_answered:
        until_answered.enter_context(here.waiting.place)
        accepted = _accept(here)
        if accepted.is_async:
            return _accepted(here, accepted)
        wait = Wait(
            record=accepted.record,
            deadline_at=time.time() + accepted.timeout_seconds,
            timeout_seconds=accepted.timeout_seconds,
            is_gone=client_socket.is_gone(),
            hangs_up_at=deadlines.hangs_up_at(streams=accepted.streams),
        )
        if accepted.streams:
            return _stream(here, wait, until_answered, include_usage=accepted.include_usage)
        return _answer(here.waiting.wait(wait))


def _stream(here: Services, wait: Wait, until_answered: ExitStack, *, include_usage: bool) -> Response:
    """The stream. It keeps the client's place until it is closed; an error that comes at once is an answer as any other."""
    record = wait.record
    body = stream.Stream(
        here,
        wait,
        Chunks(record.id, int(record.created_at), record.model, include_usage=include_usage),
        silence_seconds=stream.silence_seconds(deadlines.read_timeout_seconds()),
        is_writable=client_socket.is_writable(),
    )
    until_answered.callback(body.close)
    body.begin()
    response = Response(body, mimetype="text/event-stream", headers=stream.HEADERS)
    response.call_on_close(until_answered.pop_all().close)
    return response


def _answer(outcome: Outcome) -> Response:
    response = answer(outcome.error) if outcome.error is not None else jsonify(outcome.body)
    response.headers.update(outcome.headers)
    return response


def _accepted(here: Services, accepted: _Accepted) -> Response:
    record = here.jobs.get(accepted.record.id) or accepted.record
    response = jsonify(job_object.of(record, here.jobs))
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{record.id}"
    if _prefers_async():
        response.headers["Preference-Applied"] = "respond-async"
    return response


def _accept(here: Services) -> _Accepted:
    """Check the request and put its job into the queue, or find the job that an earlier try of it made."""
    body = params.read_body()
    accepted = _parse(body, here.settings)
    chat = accepted.chat
    is_async = _prefers_async() or chat.callback_url is not None
    streams = bool(chat.stream)
    if streams and is_async:
        raise errors.invalid_request(
            "'stream' and 'Prefer: respond-async' exclude each other: send one of them.", param="stream"
        )
    seconds = deadlines.timeout_seconds(here.settings, is_async=is_async)
    fence = idempotency.fence(body)
    del body
    made = _record(here, chat, accepted.claude_model, seconds, is_async=is_async)
    record = submission.submit(here, made, accepted.payload, fence, seconds)
    return _Accepted(record, seconds, is_async, streams, chat.include_usage)


def _parse(body: bytes, settings: Settings) -> Accepted:
    """The request, accepted. Raises `ErrorReply` (400, 404, 415)."""
    accepted = accept(params.json_object(body), settings)
    tracing.name_ignored(accepted.ignored)
    submission.check_callback_url(accepted.chat.callback_url, settings)
    return accepted


def _record(here: Services, chat: ChatRequest, claude_model: str, seconds: float, *, is_async: bool) -> JobRecord:
    now = time.time()
    return JobRecord(
        id=ids.new_completion_id(),
        kind=KIND,
        status=Status.QUEUED,
        model=claude_model,
        created_at=now,
        deadline_at=now + seconds,
        max_attempts=min(chat.max_attempts or here.settings.max_attempts, here.settings.max_attempts),
        max_sends=chat.max_attempts or 0,
        callback_url=chat.callback_url or "",
        service_tier=chat.service_tier or "",
        background=is_async,
        is_stored=bool(chat.store),
        streams=bool(chat.stream),
        request_id=g.request_id,
        metadata=chat.metadata or {},
    )


def _prefers_async() -> bool:
    """RFC 7240, the `respond-async` preference."""
    sent = ",".join(request.headers.getlist("Prefer"))
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in sent.split(","))
