"""What befalls a job that no run gives up: it comes, it waits, it ends from outside. Each is one step in Redis."""

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

    It must not be there: the caller watches something that this step changes, and has looked. Done twice, it would be run twice.
    """
    pipe.set(request_key(record.id), request)
    apply.write(connection, pipe, record.id, lifecycle.submit(record, ttl_seconds))


def fail_waiting(
    connection: Redis, settings: Settings, job_id: str, error: ErrorReply, *, spares_running: bool = False
) -> None:
    """Queued to failed, for a job that can't be run any more (its deadline passed, say).

    `spares_running`: not if it waits for choices of which none waits itself.
    """
    apply.step(
        connection,
        job_id,
        lambda found: lifecycle.fail_waiting(found, error, settings, spares_running=spares_running),
    )


def requeue_ticket(connection: Redis, job_id: str) -> None:
    """Put a queued job's ticket (back) into the queue; that of a job that is not waiting goes."""
    apply.step(connection, job_id, lifecycle.requeue_ticket)


def reissue(connection: Redis, settings: Settings, job_id: str) -> bool:
    """A new ticket for a queued job whose own has vanished. Whether it was needed."""
    ttl = settings.result_ttl_seconds
    return apply.step(connection, job_id, lambda found: lifecycle.reissue(found, ttl)).ticket is Ticket.NEW


def join(connection: Redis, settings: Settings, job_id: str) -> bool:
    """A job that waits for its choices gets its outcome from them: their answers, or the error of one that failed.

    It takes no worker: the answer does not wait behind a gate that has closed. Is it to come yet, the job goes on waiting, or to
    the queue's head when a worker has to make choices for it. False for a job that waits for none, with which nothing is done.
    """
    has_waited = False

    def decide(found: Found) -> Change:
        nonlocal has_waited
        # Or did, before a try whose reply was lost.
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
