"""How a request becomes a job, whatever its endpoint: made once, and joined by its client's own retries."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import g, request

from api import auth, waiting
from api.deadlines import MAX_SECONDS
from app import errors, logs, spans
from app.connection import AWAY
from app.durability import NotReplicatedError, confirm
from app.error_codes import ErrorCode
from app.jobs.record import JobRecord, Status, record_key
from app.jobs.waiters import place_of
from app.outbound import ForbiddenTarget, check_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.services import Services
    from app.settings import Settings

MAX_IDEMPOTENCY_KEY = 255

#: what these requests may carry in their heads, as JSON schemas
HEADERS: dict[str, Any] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY},
    "X-Request-Timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
}
#: statuses of what may become of them
ERRORS = (404, 409, 422, 429, 499, 502, 504)


def place(body: bytes) -> str:
    """What the tries of this request have in common."""
    return place_of(auth.caller(), request.path.encode() + b"\n" + body)


def submit(here: Services, record: JobRecord, payload: dict[str, Any], place: str, seconds: float) -> JobRecord:
    """Put the job into the queue, with its first waiter. The job of an earlier use of the idempotency key, if there is one."""
    began_at = time.time() - (time.monotonic() - g.began_at)
    with (
        _may_be_lost(here, record.id),
        spans.span("accept", g.trace, spans.of_job(record), began_at=began_at, kind="server") as span,
    ):
        job = replace(record, traceparent=span.context.parent, tracestate=span.context.state)
        # An async job has a waiter that never leaves: no client that joins it can abandon it.
        submission = here.jobs.submit(
            job,
            payload,
            idempotency_key=_idempotency_key(),
            beside=lambda pipe: here.waiters.arrive(place, record.id, seconds, pipeline=pipe),
        )
    logs.note(job_id=submission.record.id)
    if not submission.is_new:
        left = submission.record.deadline_at - time.time()
        here.waiters.arrive(place, submission.record.id, max(seconds, left))
    return submission.record


@contextmanager
def _may_be_lost(here: Services, job_id: str) -> Iterator[None]:
    """A job that its replicas did not have in time is not accepted, though it is there: its client may come back to it."""
    try:
        yield
    except NotReplicatedError:
        with suppress(*AWAY):
            here.waiters.leave(job_id, abandon_at=time.time() + waiting.STOP_GRACE_SECONDS)
        raise


def join_earlier_try(here: Services, place: str, seconds: float) -> JobRecord | None:
    """The job of this client's earlier try, if it lives or has an answer; an error is no reason not to try again."""
    if request.headers.get("x-stainless-retry-count", "0") in ("", "0") or _idempotency_key() is not None:
        return None
    job_id = here.waiters.find(place)
    if job_id is None:
        return None
    here.waiters.arrive(place, job_id, seconds)
    # Looked at after having arrived: before, it might be given up between the look and the arrival.
    record = here.jobs.get(job_id)
    if record is None:
        return None
    confirm(here.connection, record_key(job_id), here.settings.wait_replicas)
    logs.note(job_id=job_id)
    is_over = record.status in (Status.FAILED, Status.CANCELLED) and not record.is_spent
    return None if is_over else record


def check_callback_url(url: str | None, settings: Settings) -> None:
    """Raises `ErrorReply` (400) for an address that no callback may go to."""
    if url is None:
        return
    try:
        check_url(url, settings.callback_allowed_hosts)
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param="callback_url", code=ErrorCode.INVALID_CALLBACK_URL) from error


def _idempotency_key() -> str | None:
    """The client's key, made this caller's own: two callers may choose the same."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
        raise errors.invalid_request(
            f"Idempotency-Key takes 1 to {MAX_IDEMPOTENCY_KEY} characters.", param="Idempotency-Key"
        )
    return f"{auth.caller()}\n{request.path}\n{key}"
