"""`/v1/responses/{id}`: look at a response, read it along, cancel it, delete it, list what it was asked."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, jsonify, request

from api import paging
from api.openai import response_reading, submission
from api.openapi_meta import EVENTS, JSON, PAGING, described
from api.services import Services, current_services
from app import clock, errors

blueprint = Blueprint("stored_responses", __name__)


@blueprint.get("/v1/responses/<response_id>")
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


@blueprint.post("/v1/responses/<response_id>/cancel")
def cancel(response_id: str) -> dict[str, Any]:
    """The response object afterwards; one that has ended stays as it is. 400 for one that is not in the background."""
    services = current_services()
    record = response_reading.stored(services, response_id)
    if not record.background:
        raise errors.invalid_request("Only background responses can be cancelled; close the connection of others.")
    return response_reading.object_of(services, services.jobs.cancel(response_id) or record)


@blueprint.delete("/v1/responses/<response_id>")
def delete(response_id: str) -> dict[str, Any]:
    """It is gone for who asks for it; one that runs is cancelled."""
    services = current_services()
    response_reading.stored(services, response_id)
    services.jobs.delete(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


@blueprint.get("/v1/responses/<response_id>/input_items")
@described(query=PAGING | {"order": {"enum": ["asc", "desc"]}})
def input_items(response_id: str) -> dict[str, Any]:
    """The items that it was made of, those of earlier responses included: `?order=desc|asc&limit=&after=`."""
    services = current_services()
    items = _items(services, response_id)
    size = paging.limit()
    if paging.choice("order", ("asc", "desc")) != "asc":
        items.reverse()
    after = request.args.get("after")
    if after is not None:
        places = [index for index, item in enumerate(items) if item["id"] == after]
        if not places:
            raise errors.invalid_request(f"There is no item '{after[:100]}' to list after.", param="after")
        items = items[places[0] + 1 :]
    found = paging.page(items[: size + 1], size)
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
