"""What chat completions and text completions have in common: their job is put into the queue, and answered or followed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, g, jsonify, request

from api import client_socket, deadlines, idempotency, job_object, params
from api.errors import answer
from api.openai import stream, submission
from api.services import Services, services
from api.waiting import Wait
from app import clock, errors
from app.jobs.record import JobRecord, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.outcome import Outcome
    from app.settings import Settings

#: what these requests may carry in their heads, as JSON schemas
HEADERS: dict[str, Any] = submission.HEADERS | {"Prefer": {"type": "string", "examples": ["respond-async"]}}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A request that may run, read by its endpoint."""

    #: `JobRecord.kind`
    kind: str
    job_id: str
    claude_model: str
    payload: dict[str, Any]
    #: makes the events of its stream. It must not hold the request: hundreds of these wait
    shape: Callable[[JobRecord], stream.Shape]
    streams: bool = False
    callback_url: str | None = None
    max_attempts: int | None = None
    metadata: Mapping[str, str] | None = None
    service_tier: str | None = None
    is_stored: bool = False
    #: the oldest `JobRecord.version` of a worker that can run it
    version: int = 1


@dataclass(frozen=True)
class _Accepted:
    """What is left of a request once its job is in the queue."""

    record: JobRecord
    timeout_seconds: float
    is_async: bool
    streams: bool
    shape: Callable[[JobRecord], stream.Shape]


def respond(check: Callable[[bytes, Settings], Checked]) -> Response:
    """The answer to the current request, or its stream; 202 with `Prefer: respond-async` or a `callback_url`.

    `check` reads the body and raises `ErrorReply` (400, 404, 415).
    """
    here = services()
    if _prefers_async():
        return _accepted(here, _accept(here, check))
    with ExitStack() as until_answered:
        until_answered.enter_context(here.waiting.place)
        accepted = _accept(here, check)
        if accepted.is_async:
            return _accepted(here, accepted)
        wait = Wait(
            record=accepted.record,
            deadline_at=clock.now() + accepted.timeout_seconds,
            timeout_seconds=accepted.timeout_seconds,
            is_gone=client_socket.is_gone(),
            hangs_up_at=deadlines.hangs_up_at(streams=accepted.streams),
            waiter=submission.waiter(),
        )
        if accepted.streams:
            return _stream(here, wait, accepted.shape(wait.record), until_answered)
        return _answer(here.waiting.wait(wait))


def _stream(here: Services, wait: Wait, shape: stream.Shape, until_answered: ExitStack) -> Response:
    """The stream. It keeps the client's place until it is closed; an error that comes at once is an answer as any other."""
    body = stream.Stream(
        here,
        wait,
        shape,
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


def _accept(here: Services, check: Callable[[bytes, Settings], Checked]) -> _Accepted:
    """Check the request and put its job into the queue, or find the job that an earlier try of it made."""
    body = params.read_body()
    checked = check(body, here.settings)
    submission.check_callback_url(checked.callback_url, here.settings)
    is_async = _prefers_async() or checked.callback_url is not None
    if checked.streams and is_async:
        raise errors.invalid_request(
            "'stream' and 'Prefer: respond-async' exclude each other: send one of them.", param="stream"
        )
    seconds = deadlines.timeout_seconds(here.settings, is_async=is_async)
    fence = idempotency.fence(body)
    del body
    made = _record(here, checked, seconds, is_async=is_async)
    record = submission.submit(here, made, checked.payload, fence, seconds)
    return _Accepted(record, seconds, is_async, checked.streams, checked.shape)


def _record(here: Services, checked: Checked, seconds: float, *, is_async: bool) -> JobRecord:
    now = clock.now()
    return JobRecord(
        id=checked.job_id,
        kind=checked.kind,
        status=Status.QUEUED,
        model=checked.claude_model,
        created_at=now,
        deadline_at=now + seconds,
        max_attempts=min(checked.max_attempts or here.settings.max_attempts, here.settings.max_attempts),
        max_sends=checked.max_attempts or 0,
        callback_url=checked.callback_url or "",
        service_tier=checked.service_tier or "",
        background=is_async,
        is_stored=checked.is_stored,
        streams=checked.streams,
        request_id=g.request_id,
        metadata=checked.metadata or {},
        version=checked.version,
    )


def _prefers_async() -> bool:
    """RFC 7240, the `respond-async` preference."""
    sent = ",".join(request.headers.getlist("Prefer"))
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in sent.split(","))
