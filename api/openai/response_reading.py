"""A response as clients see it: the object in each of its states, and its stream."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from api.openai import answering
from api.openai.response_events import ResponseEvents
from app import errors
from app.jobs.record import JobKind
from app.openai.responses import objects

if TYPE_CHECKING:
    from contextlib import ExitStack

    from flask import Response

    from api.services import Services
    from app.errors import ErrorReply
    from app.jobs.record import JobRecord

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def stored(services: Services, response_id: str) -> JobRecord:
    """The record of a stored response. Raises `ErrorReply` (404)."""
    record = services.jobs.get(response_id) if _ID.fullmatch(response_id) else None
    if record is None or record.kind != JobKind.RESPONSE or not record.is_stored:
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
