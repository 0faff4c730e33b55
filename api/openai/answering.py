"""How a job's client is answered: at once with 202, with the outcome, or with a stream."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from api import client_socket, headers
from api.errors import answer
from api.jobs import job_object
from api.openai import stream, submission
from api.services import Services, current_services
from api.waiting import Wait
from app import clock, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from api.inbox import Inbox
    from app.errors import ErrorReply
    from app.jobs.record import JobKind, JobRecord
    from app.openai.accept import Accepted
    from app.settings import Settings

#: what requests for completions may carry in their heads, as JSON schemas
HEADERS: dict[str, Any] = headers.OF_A_JOB | {"Prefer": {"type": "string", "examples": ["respond-async"]}}


def respond(
    accept: Callable[[dict[str, Any], Settings], Accepted[Any]],
    shape: Callable[[Any], Callable[[str, int, str], stream.Shape]],
    *,
    kind: JobKind,
    job_id: str,
) -> Response:
    """The answer to the current request for completions, or its stream; 202 with `Prefer: respond-async` or a `callback_url`.

    `accept` checks the request; `shape` is given it, and gives what makes its stream's events of a completion's id, time and
    model. That must not hold the request: hundreds of these wait.
    """
    services = current_services()
    with ExitStack() as until_answered:
        if not headers.prefers_async():
            until_answered.enter_context(services.waiting.place)
        accepted, fence = submission.read(services, accept)
        asked = accepted.request
        is_async, streams = headers.prefers_async() or asked.callback_url is not None, bool(asked.stream)
        if streams and is_async:
            raise errors.invalid_request(
                "'stream' and 'Prefer: respond-async' exclude each other: send one of them.", param="stream"
            )
        seconds = headers.timeout_seconds(services.settings, is_async=is_async)
        events_of = shape(asked)
        # Who listens before there is a job need not look for what it has missed.
        listener = services.waiting.listener
        inbox = listener.register_reader(job_id, is_new=True) if streams else None
        heard = listener.register(job_id) if not streams and not is_async else None
        if (early := inbox or heard) is not None:
            until_answered.callback(listener.forget, job_id, early)
        record = submission.submit(services, accepted, fence, seconds, kind=kind, job_id=job_id, background=is_async)
        del accepted, asked
        if record.id != job_id:
            # It has joined the job of an earlier try.
            inbox = heard = None
        if is_async:
            return _accepted(services, record)
        if streams:
            events = events_of(record.id, int(record.created_at), record.model)
            return streamed(services, record, seconds, events, until_answered, inbox=inbox)
        return answered(services, record, seconds, heard=heard)


def answered(
    services: Services,
    record: JobRecord,
    seconds: float,
    in_its_words: Callable[[ErrorReply], ErrorReply] | None = None,
    *,
    heard: Event | None = None,
) -> Response:
    """The job's outcome, waited for. `in_its_words`: its error as one about the request that the client sent.

    `heard`: the listener's event for it, registered before there was a job.
    """
    outcome = services.waiting.wait(_wait(record, seconds, streams=False), heard)
    error = outcome.error
    if error is None:
        response = jsonify(outcome.body)
    else:
        response = answer(in_its_words(error) if in_its_words is not None else error)
    response.headers.update(outcome.headers)
    return response


def streamed(
    services: Services,
    record: JobRecord,
    seconds: float,
    events: stream.Shape,
    until_answered: ExitStack,
    *,
    only_reads: bool = False,
    inbox: Inbox | None = None,
) -> Response:
    """The stream. It keeps the client's place until it is closed; an error that comes at once is an answer as any other.

    `only_reads`: the reader of a job in the background has arrived at it, and leaving it ends nothing.
    """
    body = stream.Stream(
        services,
        _wait(record, seconds, streams=True, only_reads=only_reads),
        events,
        silence_seconds=stream.silence_seconds(headers.read_timeout_seconds()),
        is_writable=client_socket.is_writable(),
        inbox=inbox,
    )
    until_answered.callback(body.close)
    if not only_reads:
        body.begin()
    response = Response(body, mimetype="text/event-stream", headers=stream.HEADERS)
    response.call_on_close(until_answered.pop_all().close)
    return response


def _wait(record: JobRecord, seconds: float, *, streams: bool, only_reads: bool = False) -> Wait:
    return Wait(
        record=record,
        deadline_at=clock.now() + seconds,
        timeout_seconds=seconds,
        is_gone=client_socket.is_gone(),
        only_reads=only_reads,
        hangs_up_at=headers.hangs_up_at(streams=streams),
        waiter=submission.waiter(),
    )


def _accepted(services: Services, record: JobRecord) -> Response:
    response = jsonify(job_object(record, services.jobs))
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{record.id}"
    if headers.prefers_async():
        response.headers["Preference-Applied"] = "respond-async"
    return response
