"""`/v1/responses`: make one (parse, hand over, wait or not, answer), and what can be done with those that are stored."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from api import headers, params
from api.openai import answering, response_reading, submission
from api.openai.response_reading import StoredItems
from api.openapi_meta import EVENTS, JSON, PAGING, described
from api.services import Services, current_services
from app import clock, errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs.record import JobKind
from app.openai.responses import as_chat
from app.openai.responses.accept import accept
from app.openai.responses.request import RESPONSE_FIELDS, ResponseRequest

if TYPE_CHECKING:
    from app.openai.responses.accept import AcceptedResponse


blueprint = Blueprint("responses", __name__)
stored_blueprint = Blueprint("stored_responses", __name__)


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


@stored_blueprint.get("/v1/responses/<response_id>")
@described(
    query={"stream": {"enum": ["true", "false"]}, "starting_after": {"type": "integer", "minimum": 0}},
    answers={200: (JSON, EVENTS)},
    errors=(429,),
)
def retrieve(response_id: str) -> Response:
    """The response object; with `?stream=true&starting_after=` the events of a background one. 404 when not stored."""
    services = current_services()
    record = response_reading.stored(services, response_id)
    if request.args.get("stream") != "true":
        return jsonify(response_reading.object_of(services, record))
    if not record.background:
        raise errors.invalid_request("Only background responses can be read along later.", param="stream")
    after = _starting_after()
    with ExitStack() as until_answered:
        until_answered.enter_context(services.waiting.place)
        # What is read once the job has ended takes no time; while it runs, as long as it does.
        seconds = max(60.0, record.deadline_at - clock.now())
        services.jobs.arrive(response_id, submission.waiter(), seconds)
        return response_reading.stream_of(services, record, seconds, until_answered, after=after)


@stored_blueprint.post("/v1/responses/<response_id>/cancel")
def cancel(response_id: str) -> dict[str, Any]:
    """The response object afterwards; one that has ended stays as it is. 400 for one that is not in the background."""
    services = current_services()
    record = response_reading.stored(services, response_id)
    if not record.background:
        raise errors.invalid_request("Only background responses can be cancelled; close the connection of others.")
    return response_reading.object_of(services, services.jobs.cancel(response_id) or record)


@stored_blueprint.delete("/v1/responses/<response_id>")
def delete(response_id: str) -> dict[str, Any]:
    """It is gone for who asks for it; one that runs is cancelled."""
    services = current_services()
    response_reading.stored(services, response_id)
    services.jobs.delete(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


@stored_blueprint.get("/v1/responses/<response_id>/input_items")
@described(query=PAGING | {"order": {"enum": ["asc", "desc"]}})
def input_items(response_id: str) -> dict[str, Any]:
    """The items that it was made of, those of earlier responses included: `?order=desc|asc&limit=&after=`."""
    services = current_services()
    items = _items(services, response_id)
    size = params.limit()
    if params.choice("order", ("asc", "desc")) != "asc":
        items.reverse()
    after = request.args.get("after")
    if after is not None:
        places = [index for index, item in enumerate(items) if item["id"] == after]
        if not places:
            raise errors.invalid_request(f"There is no item '{after[:100]}' to list after.", param="after")
        items = items[places[0] + 1 :]
    found = params.page(items[: size + 1], size)
    return {**found, "first_id": found["first_id"] or "", "last_id": found["last_id"] or ""}


def _items(services: Services, response_id: str) -> list[dict[str, Any]]:
    record = response_reading.stored(services, response_id)
    items: list[dict[str, Any]] = response_reading.asked_for(services, record)["input"]
    return items


def _starting_after() -> int:
    """The number of the last event that the client has; -1: none. Raises `ErrorReply` (400)."""
    sent = request.args.get("starting_after")
    if sent is None:
        return -1
    if not (sent.isascii() and sent.isdigit() and len(sent) < 12):
        raise errors.invalid_request("'starting_after' takes an event's number.", param="starting_after")
    return int(sent)
