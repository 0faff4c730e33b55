"""A stored response as clients see it: the object in each of its states, its stream, and what a new response may be built upon."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from api import auth
from api.openai import answering
from api.openai.response_events import ResponseEvents
from app import errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.jobs.record import JobKind
from app.openai.responses import objects

if TYPE_CHECKING:
    from contextlib import ExitStack

    from flask import Response

    from api.services import Services
    from app.jobs.record import JobRecord


_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def stored(services: Services, response_id: str) -> JobRecord:
    """The record of a stored response. Raises `ErrorReply` (404)."""
    record = services.jobs.get(response_id) if _ID.fullmatch(response_id) else None
    if record is None or record.kind != JobKind.RESPONSE or not record.is_stored or not auth.may_see(record.owner):
        raise errors.not_found(f"Response with id '{response_id[:100]}' not found.", param="id")
    return record


def asked_for(services: Services, record: JobRecord) -> dict[str, Any]:
    """The request as it is kept; little of it when it is gone."""
    return (services.jobs.request(record.id) or {}).get("response") or {"model": record.model, "input": []}


def object_of(services: Services, record: JobRecord) -> dict[str, Any]:
    """The response object of now."""
    outcome = services.jobs.outcome(record.id) if record.status.is_final else None
    if outcome is None:
        return objects.response_object(record, asked_for(services, record))
    if outcome.error is not None:
        return objects.failed(record, asked_for(services, record), outcome.error)
    return outcome.body or {}


def stream_of(
    services: Services, record: JobRecord, seconds: float, until_answered: ExitStack, *, after: int = -1
) -> Response:
    """The response's events. The reader of a background one has arrived at it, and leaving it ends nothing."""
    # Not the input: streams are many, and inputs may be large.
    asked = {name: value for name, value in asked_for(services, record).items() if name != "input"}

    def failed(error: ErrorReply) -> dict[str, Any]:
        return objects.failed(services.jobs.get(record.id) or record, asked, error)

    events = ResponseEvents(
        record.id,
        partial(objects.response_object, record, asked),
        failed,
        is_background=record.background,
        after=after,
    )
    return answering.streamed(services, record, seconds, events, until_answered, only_reads=record.background)


class StoredItems:
    """See the module; `app.openai.responses.accept.Stored`. For one request: what it has looked up is kept."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: items by response, and whether they are its input
        self._known: dict[tuple[str, bool], list[dict[str, Any]]] = {}
        self._bytes = 0

    def conversation(self, response_id: str) -> list[dict[str, Any]]:
        """All items up to an earlier response, its own output included. Raises `ErrorReply`: 404, or 400 if it has no answer."""
        param, code = "previous_response_id", ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND
        try:
            record = stored(self._services, response_id)
        except ErrorReply as error:
            message = f"Previous response with id '{response_id[:100]}' not found."
            raise errors.not_found(message, code=code, param=param) from error
        output = self._output(response_id)
        if output is None:
            raise errors.invalid_request(
                f"Previous response '{response_id[:100]}' is {record.status}: there is no answer to go on from.",
                param=param,
            )
        items: list[dict[str, Any]] = asked_for(self._services, record)["input"]
        return items + output

    def item(self, item_id: str) -> dict[str, Any]:
        """The item, from the output or the input of the stored response that it came with.

        Raises `ErrorReply`: 404, or 400 when all that is referred to is larger than a body may be.
        """
        found = next((item for item in self._items(item_id) if item["id"] == item_id), None)
        if found is None:
            raise errors.not_found(
                f"Item with id '{item_id[:100]}' not found. Items can be referred to as long as the response that they came"
                " with is stored (never with 'store': false): send the item itself instead.",
                code=ErrorCode.ITEM_NOT_FOUND,
            )
        self._bytes += len(json.dumps(found))
        if self._bytes > (limit := self._services.settings.max_body_bytes):
            raise errors.invalid_request(
                f"The items that are referred to are larger than {limit} bytes (NIGHTSHIFT_MAX_BODY_BYTES).",
                code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            )
        return found

    def _items(self, item_id: str) -> list[dict[str, Any]]:
        """The items among which it is, if it is anywhere."""
        origin = objects.origin_of(item_id)
        if origin is None:
            return []
        if origin not in self._known:
            self._known[origin] = self._read(*origin)
        return self._known[origin]

    def _read(self, response_id: str, is_input: bool) -> list[dict[str, Any]]:
        try:
            record = stored(self._services, response_id)
        except ErrorReply:
            return []
        if is_input:
            return list(asked_for(self._services, record)["input"])
        return self._output(response_id) or []

    def _output(self, response_id: str) -> list[dict[str, Any]] | None:
        """What the response answered; None: it has no answer."""
        outcome = self._services.jobs.outcome(response_id)
        return None if outcome is None or outcome.body is None else list(outcome.body["output"])
