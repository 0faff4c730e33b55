"""`/v1/jobs`: look at a job, list them, cancel one. And `/v1/events`: what callbacks were or were not delivered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast, get_args

from flask import Blueprint, request

from api import auth, params
from api.openapi_meta import METADATA, PAGING, described
from api.services import current_services
from app import clock, errors
from app.error_codes import ErrorCode
from app.jobs.record import JobKind, JobRecord, Status
from app.outcome import CACHE_HEADER
from app.webhooks.outbox import EventStatus, Outbox, StoredEvent, UnknownEventError

if TYPE_CHECKING:
    from app.jobs.store import Jobs

blueprint = Blueprint("jobs", __name__)

#: what ids are made of; anything else could name a key beside the one that is meant
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@blueprint.get("/v1/jobs/<job_id>")
def get_job(job_id: str) -> dict[str, Any]:
    """The job object; 404 `job_not_found`."""
    return job_object(_record(job_id), current_services().jobs)


@blueprint.post("/v1/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> dict[str, Any]:
    """The job object afterwards. A job that has ended stays as it is; 404 `job_not_found`."""
    jobs = current_services().jobs
    record = jobs.cancel(_record(job_id).id)
    if record is None:
        raise _no_job(job_id)
    return job_object(record, jobs)


@blueprint.get("/v1/jobs")
@described(query=PAGING | METADATA | {"status": {"enum": [str(one) for one in Status]}})
def list_jobs() -> dict[str, Any]:
    """Jobs without their results, newest first: `?status=&metadata[name]=value&limit=&after=`."""
    size = params.limit()
    sent = params.choice("status", tuple(Status))
    status = None if sent is None else Status(sent)
    after, metadata = request.args.get("after"), params.metadata()
    found = current_services().jobs.newest(
        status, limit=size + 1, after=after, metadata=metadata, owner=auth.seen_owner()
    )
    return params.page([job_summary(record) for record in found], size)


@blueprint.get("/v1/events")
@described(query=PAGING | {"status": {"enum": list(get_args(EventStatus))}})
def list_events() -> dict[str, Any]:
    """Events for callbacks: `?status=pending|delivered|undelivered&limit=&after=`; undelivered when not said."""
    size = params.limit()
    status = cast("EventStatus", params.choice("status", get_args(EventStatus)) or "undelivered")
    found = _outbox().page(status, limit=size + 1, after=request.args.get("after"), owner=auth.seen_owner())
    return params.page([_event(stored) for stored in found], size)


@blueprint.get("/v1/events/<event_id>")
def get_event(event_id: str) -> dict[str, Any]:
    """One event with its attempts; 404 `event_not_found`."""
    return _event(_stored(event_id))


@blueprint.post("/v1/events/<event_id>/resend")
def resend_event(event_id: str) -> dict[str, Any]:
    """Deliver it (once more), under the same id, with a new day of attempts; 404 `event_not_found`."""
    _stored(event_id)
    try:
        _outbox().resend(event_id, clock.now())
    except UnknownEventError as error:
        raise _no_event(event_id) from error
    return _event(_stored(event_id))


def _record(job_id: str) -> JobRecord:
    record = current_services().jobs.get(job_id) if _ID.fullmatch(job_id) else None
    if record is None or record.kind == JobKind.CHOICE or not auth.may_see(record.owner):
        raise _no_job(job_id)
    return record


def _stored(event_id: str) -> StoredEvent:
    """Raises `ErrorReply` (404)."""
    try:
        found = _outbox().get(event_id) if _ID.fullmatch(event_id) else None
    except UnknownEventError:
        found = None
    if found is None or not auth.may_see(found.event.owner):
        raise _no_event(event_id)
    return found


def _outbox() -> Outbox:
    return Outbox(current_services().connection)


def _event(stored: StoredEvent) -> dict[str, Any]:
    return {
        "id": stored.event.id,
        "object": "event",
        "type": stored.event.type,
        "created_at": stored.event.created_at,
        "delivery": {
            "status": stored.status,
            "url": stored.url,
            "attempts": stored.attempts,
            "next_attempt_at": stored.next_attempt_at,
            "ended_at": stored.ended_at,
            "endpoint_gone": stored.endpoint_gone,
            "history": [vars(attempt) for attempt in stored.history],
        },
    }


def _no_job(job_id: str) -> errors.ErrorReply:
    return errors.not_found(f"There is no job '{job_id[:100]}' (any more).", code=ErrorCode.JOB_NOT_FOUND)


def _no_event(event_id: str) -> errors.ErrorReply:
    return errors.not_found(f"There is no event '{event_id[:100]}' (any more).", code=ErrorCode.EVENT_NOT_FOUND)


def job_summary(record: JobRecord) -> dict[str, Any]:
    """The job without its result, as lists have it. Times are whole seconds since the epoch."""
    return {
        "id": record.id,
        "object": "job",
        "type": record.kind,
        "status": str(record.public_status),
        "model": record.model,
        "created_at": int(record.created_at),
        "started_at": _whole(record.started_at),
        "finished_at": _whole(record.finished_at),
        "deadline_at": int(record.deadline_at),
        "attempts": record.attempts,
        "max_attempts": record.max_attempts,
        "deaths": record.deaths,
        "waiting_for": record.waiting_for or None,
        "callback_url": record.callback_url or None,
        "request_id": record.request_id or None,
        "metadata": dict(record.metadata),
    }


def job_object(record: JobRecord, jobs: Jobs) -> dict[str, Any]:
    """The whole job: `position` (jobs before it) while it queues; `result` or `error`, and the `way` it came, once it has ended."""
    found = job_summary(record)
    found["position"] = jobs.position(record.id) if record.public_status is Status.QUEUED else None
    outcome = jobs.outcome(record.id) if record.status.is_final else None
    found["way"] = (outcome.way or None) if outcome else None
    found["cache"] = outcome.headers.get(CACHE_HEADER) if outcome else None
    found["result"] = outcome.body if outcome else None
    found["error"] = outcome.error.body()["error"] if outcome and outcome.error else None
    return found


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
