"""A batch as clients see it: OpenAI's object, and ours under `nightshift`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from api import holds
from app import clock, window
from app.batches import eta, leadership, pace, waiting
from app.batches.capacity import beyond_reserve, living
from app.batches.parts.record import parts_key, parts_of
from app.batches.record import FILES_LOST, BatchStatus, Hold
from app.batches.report import conditions
from app.batches.validation import read_faults
from app.ways import Way

if TYPE_CHECKING:
    from api.services import Services
    from app.batches.record import BatchRecord
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
    ways = conditions.ways_of(record, services.settings)
    waited = conditions.covered(conditions.waits(services.connection, record, hours, ways, now), ways)
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
        "cache_write_tokens": record.cache_write_tokens,
        "cache_saved_usd": round(record.cache_saved_usd, 6),
        "faults": record.faults,
        "refused": record.refused,
        "input_name": record.input_name or None,
        "offline": record.offline,
        "waiting_for": None,
        "waiting_until": None,
        "waiting_reason": None,
        "done_at": None,
        "way": record.way or None,
        "parts": None,
        "tried": record.tried or None,
        "since": record.since or None,
        "copied": record.copied,
        "saved_usd": record.known_savings_usd(),
        "max_cost_usd": record.max_cost_usd or None,
        "max_tokens": record.max_tokens or None,
        "max_share": record.max_share or None,
    }
    parts = parts_of(cast("dict[bytes, bytes]", services.connection.hgetall(parts_key(record.id))))
    in_parts = record.way == Way.BATCHES or bool(parts.by_id)
    found["parts"] = parts.to_dict()
    if (why := leadership.stalled(services.connection, record)) is not None:
        return found | {"waiting_for": why.code, "waiting_reason": why.reason}
    if record.status is not BatchStatus.IN_PROGRESS:
        return found
    if record.held:
        return found | holds.words(record, services)
    when = record.window or services.settings.batch_window
    closed = waiting.held_by(services.connection, services.settings, record)
    found["done_at"] = _done_at(record, services, closed)
    if parts.by_id and not parts.unsent and parts.lines >= record.total - record.ended:
        # All that is left was sent: whatever is closed holds nothing of it.
        found["waiting_for"] = Hold.MESSAGE_BATCHES
        found["waiting_reason"] = f"Anthropic's Message Batches have {parts.lines:,} of its requests."
    elif closed is not None:
        found["waiting_for"] = str(closed.cause)
        found["waiting_reason"] = closed.reason or None
        found["waiting_until"] = int(closed.until) if closed.until < 1e12 else None
    elif not window.is_open(when, clock.now()):
        found["waiting_for"] = Hold.BATCH_WINDOW
        found["waiting_until"] = int(window.parse(when).next_change(clock.now()))
    elif in_parts:
        if not leadership.has_lane(services.connection, record.place):
            found["waiting_for"] = Hold.NO_LANE
        elif reason := (found["parts"] or {}).get("reason"):
            found |= {"waiting_for": Hold.MESSAGE_BATCHES, "waiting_reason": reason}
    else:
        found |= _slowed_by(record, services)
    return found


def _slowed_by(record: BatchRecord, services: Services) -> dict[str, Any]:
    """Why no line of it is started now, though its window and the gate are open."""
    connection, settings = services.connection, services.settings
    if (due := pace.ahead_until(connection, settings, record)) is not None:
        return {"waiting_for": Hold.PACE, "waiting_until": int(due)}
    if settings.reserve and not beyond_reserve(connection, settings):
        return {"waiting_for": Hold.RESERVE}
    return {} if living(connection, settings) else {"waiting_for": Hold.NO_WORKERS}
