"""A batch as clients see it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app import clock, window
from app.batches import eta, stalled
from app.batches.capacity import beyond_reserve, living
from app.batches.record import FILES_LOST, BatchRecord, BatchStatus
from app.batches.report import conditions
from app.batches.validation import read_faults
from app.gate import Gate

if TYPE_CHECKING:
    from api.services import Services
    from app.gate import Closed

#: faults that a list shows of a batch; the batch by itself shows all
_LISTED_FAULTS = 10
_FAILURES = {
    FILES_LOST: "The files of this batch are gone: its data dir was deleted, or no machine that has it did the work any more."
}
_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def batch_object(record: BatchRecord, services: Services, *, is_listed: bool = False) -> dict[str, Any]:
    """OpenAI's batch object, and ours under `nightshift`. Times are whole seconds since the epoch."""
    found: dict[str, Any] = {
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "model": record.model or None,
        "errors": _errors(record, services, limit=_LISTED_FAULTS if is_listed else record.faults),
        "input_file_id": record.input_file_id,
        "completion_window": record.completion_window,
        "status": str(record.status),
        "output_file_id": record.output_file if record.status.is_final and record.output_bytes else None,
        "error_file_id": record.error_file if record.status.is_final and record.error_bytes else None,
        "created_at": int(record.created_at),
        "expires_at": int(record.expires_at),
    }
    for name in _TIMES:
        at: float | None = getattr(record, f"{name}_at")
        found[f"{name}_at"] = None if at is None else int(at)
    found["request_counts"] = {"total": record.total, "completed": record.completed, "failed": record.failed}
    found["usage"] = {
        "input_tokens": record.input_tokens,
        "input_tokens_details": {"cached_tokens": record.cached_tokens},
        "output_tokens": record.output_tokens,
        "output_tokens_details": {"reasoning_tokens": record.reasoning_tokens},
        "total_tokens": record.input_tokens + record.output_tokens,
    }
    found["metadata"] = dict(record.metadata) or None
    found["nightshift"] = _ours(record, services)
    return found


def _done_at(record: BatchRecord, services: Services, closed: Closed | None) -> int | None:
    """When it will be done at its pace so far; None: nobody can tell."""
    now = clock.now()
    opens_at = now if closed is None else closed.until if closed.until < math.inf else None
    hours = services.settings.batch_window
    waited = conditions.covered(conditions.waits(services.connection, record, hours, now))
    found = eta.done_at(record, now - (record.in_progress_at or now) - waited, hours, now, opens_at)
    return None if found is None else int(found)


def _errors(record: BatchRecord, services: Services, limit: int) -> dict[str, Any] | None:
    if record.status is not BatchStatus.FAILED:
        return None
    if record.failure:
        fault = {"code": record.failure, "line": None, "message": _FAILURES.get(record.failure, ""), "param": None}
        return {"object": "list", "data": [fault]}
    return {"object": "list", "data": read_faults(services.batches.storage, record.id, limit)}


def _ours(record: BatchRecord, services: Services) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cost_usd": record.known_cost_usd(),
        "unpriced": record.unpriced,
        "unrun": record.unrun,
        "faults": record.faults,
        "refused": record.refused,
        "input_name": record.input_name or None,
        "offline": record.offline,
        "waiting_for": None,
        "waiting_until": None,
        "waiting_reason": None,
        "done_at": None,
    }
    if (why := stalled.why(services.connection, record)) is not None:
        return found | {"waiting_for": why.code, "waiting_reason": why.reason}
    if record.status is not BatchStatus.IN_PROGRESS:
        return found
    when = record.window or services.settings.batch_window
    closed = Gate(services.connection).read()
    found["done_at"] = _done_at(record, services, closed)
    if closed is not None:
        found["waiting_for"] = str(closed.cause)
        found["waiting_reason"] = closed.reason or None
        found["waiting_until"] = int(closed.until) if closed.until < 1e12 else None
    elif not window.is_open(when, clock.now()):
        found["waiting_for"] = "batch_window"
        found["waiting_until"] = int(window.parse(when).next_change(clock.now()))
    elif services.settings.reserve and not beyond_reserve(services.connection, services.settings):
        found["waiting_for"] = "reserve"
    elif not living(services.connection, services.settings):
        found["waiting_for"] = "no_workers"
    return found
