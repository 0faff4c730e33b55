"""A job as clients see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.jobs.record import JobRecord, Status

if TYPE_CHECKING:
    from app.jobs.store import Jobs


def summary(record: JobRecord) -> dict[str, Any]:
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


def of(record: JobRecord, jobs: Jobs) -> dict[str, Any]:
    """The whole job: `position` (jobs before it) while it queues; `result` or `error`, and the `way` it came, once it has ended."""
    found = summary(record)
    found["position"] = jobs.position(record.id) if record.public_status is Status.QUEUED else None
    outcome = jobs.outcome(record.id) if record.status.is_final else None
    found["way"] = (outcome.way or None) if outcome else None
    found["result"] = outcome.body if outcome else None
    found["error"] = outcome.error.body()["error"] if outcome and outcome.error else None
    return found


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
