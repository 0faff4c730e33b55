"""What happens to a job that no run holds: it is submitted, waits, fails unrun, gets its choices' outcome. Each is one step in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app import errors
from app.jobs import apply, lifecycle
from app.jobs.change import Ticket
from app.jobs.record import JobRecord, outcome_key, request_key
from app.openai.merged import merged
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from redis.client import Pipeline

    from app.errors import ErrorReply
    from app.jobs.change import Change, Found
    from app.settings import Settings


def submit(connection: Redis, pipe: Pipeline, record: JobRecord, request: str, *, ttl_seconds: int) -> None:
    """Put the commands that put a new job into the queue on the caller's pipeline.

    The caller has checked that there is no such job, and watches a key that this step changes: submitted twice, it would run twice.
    """
    pipe.set(request_key(record.id), request)
    apply.write(connection, pipe, record.id, lifecycle.submit(record, ttl_seconds))


def fail_waiting(
    connection: Redis, settings: Settings, job_id: str, error: ErrorReply, *, spares_running: bool = False
) -> None:
    """Queued to failed, for a job that can't run any more (its deadline has passed, for example).

    `spares_running`: leave a job alone whose choices all run or have ended.
    """
    apply.step(
        connection,
        job_id,
        lambda found: lifecycle.fail_waiting(found, error, settings, spares_running=spares_running),
    )


def requeue_ticket(connection: Redis, job_id: str) -> None:
    """Put a queued job's ticket into the queue; remove the ticket of any other job."""
    apply.step(connection, job_id, lifecycle.requeue_ticket)


def reissue(connection: Redis, settings: Settings, job_id: str) -> bool:
    """Issue a new ticket for a queued job whose own is missing. Whether the job is queued."""
    ttl = settings.result_ttl_seconds
    return apply.step(connection, job_id, lambda found: lifecycle.reissue(found, ttl)).ticket is Ticket.NEW


def join(connection: Redis, settings: Settings, job_id: str) -> bool:
    """Make the outcome of a job of those of its choices: all answers, or the error of the one that failed.

    No worker is needed for it, so the answer does not wait behind a closed gate. If some have not ended, the job goes on waiting; if
    some are missing, it goes to the queue's head, so that a worker makes them. False, and no change, if it waits for no choices.
    """
    has_waited = False

    def decide(found: Found) -> Change:
        nonlocal has_waited
        # An earlier try may have ended it, and lost its reply.
        has_waited = has_waited or lifecycle.waits_for_choices(found.record)
        ended = lifecycle.joined(found)
        outcome = _merged(connection, job_id, ended, settings.max_result_bytes) if ended else None
        return lifecycle.join(found, outcome, settings)

    apply.step(connection, job_id, decide)
    return has_waited


def _merged(connection: Redis, job_id: str, ended: Sequence[JobRecord], max_bytes: int) -> Outcome:
    texts = cast("list[bytes | None]", connection.mget([outcome_key(one.id) for one in ended]))
    outcomes = [Outcome(error=errors.internal()) if text is None else Outcome.from_json(text) for text in texts]
    outcome = merged(outcomes, job_id)
    return outcome if outcome.size() <= max_bytes else Outcome(error=errors.result_too_large(max_bytes))
