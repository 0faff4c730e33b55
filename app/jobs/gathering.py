"""A job and its choices: they are put into the queue, and what they come to becomes the job's outcome.

`ask` and `settle` are one step each, idempotent and fenced; who dies between them is made up for by `settle`, which maintenance
calls every `LOOK_SECONDS`. No worker is needed to settle a job: its answer does not wait behind a gate that has closed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from app import clock, errors
from app.jobs import choices, leases, tickets
from app.jobs.record import BATCH_LINE, CHOICES, LEASES, PAYLOAD_VERSION, JobRecord, Status, outcome_key
from app.jobs.steps import change_record, finish, move
from app.openai.merged import merged
from app.outcome import Outcome

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

    from app.jobs.leases import Lease
    from app.settings import Settings

#: how often a job that waits for its choices is looked at, should nobody have told of their end, seconds
LOOK_SECONDS = 5.0
WAITING_FOR = "its choices"


def ask(connection: Redis, settings: Settings, lease: Lease, count: int) -> None:
    """In_progress to queued, while jobs of their own ask for its `count` answers: those that are not there are made.

    It uses no attempt. With a reserve, a batch's line asks for one after the other: it has one worker's place, as any line.
    Raises `LeaseLost`.
    """
    name = leases.new_execution()

    def change(pipe: Pipeline, record: JobRecord | None) -> None:
        if record is not None and record.requeued_by == name:
            pipe.multi()
            return
        held = leases.held_by(record, lease)
        parent = replace(held, choices=held.choices or count)
        made = choices.read(connection, pipe, parent)
        missing = [number for number, choice in enumerate(made) if choices.is_missing(choice)]
        if settings.reserve and held.kind == BATCH_LINE:
            missing = [] if any(map(choices.is_under_way, made)) else missing[:1]
        pipe.multi()
        move(
            pipe,
            held,
            Status.QUEUED,
            choices=parent.choices,
            execution="",
            worker="",
            waiting_for=WAITING_FOR,
            attempts=held.attempts - 1,
            requeued_by=name,
            # An older worker would ask for all of them again.
            version=PAYLOAD_VERSION,
        )
        pipe.zadd(CHOICES, {held.id: held.created_at})
        pipe.zrem(LEASES, lease.member)
        execution = tickets.execution_of(connection, held.id, held.execution, held.worker)
        job = tickets.ticket(connection, held.id)
        tickets.put_back_later(pipe, job, execution, at=clock.now() + LOOK_SECONDS)
        if not choices.failed(made):
            choices.put(connection, pipe, parent, missing, ttl_seconds=settings.result_ttl_seconds)

    change_record(connection, lease.job_id, change)
    settle(connection, settings, lease.job_id)


def settle(connection: Redis, settings: Settings, job_id: str) -> bool:
    """A job that waits for its choices gets its outcome from them: their answers, or the error of one that failed.

    Is that to come yet, it goes on waiting, or to the queue's head when a worker has to make choices for it. False for a job
    that waits for none, with which nothing is done.
    """
    has_waited = False

    def change(pipe: Pipeline, record: JobRecord | None) -> bool:
        nonlocal has_waited
        if record is None or record.status is not Status.QUEUED or not record.choices:
            pipe.multi()
            return has_waited
        has_waited = True
        made = choices.read(connection, pipe, record)
        outcome = _outcome(connection, record, made, settings.max_result_bytes)
        if outcome is not None:
            finish(connection, pipe, record, outcome, settings.result_ttl_seconds)
            return True
        job = tickets.ticket(connection, job_id)
        pipe.multi()
        tickets.take_out(pipe, job)
        if any(map(choices.is_under_way, made)):
            tickets.put_back_later(pipe, job, None, at=clock.now() + LOOK_SECONDS)
        else:
            tickets.put_back(pipe, job, None, at_front=True)
        return True

    return change_record(connection, job_id, change)


def publish(connection: Redis, settings: Settings, lease: Lease, outcome: Outcome) -> None:
    """A run's outcome (`leases.publish`). Was it a choice, the job that waits for it is settled. Raises `LeaseLost`."""
    if parent := leases.publish(connection, lease, outcome, ttl_seconds=settings.result_ttl_seconds):
        settle(connection, settings, parent)


def _outcome(connection: Redis, record: JobRecord, made: list[JobRecord | None], max_bytes: int) -> Outcome | None:
    if failed := choices.failed(made):
        (found,) = _outcomes(connection, [failed])
        return Outcome(error=found.error or errors.internal())
    answered = [one for one in made if one is not None and one.status is Status.COMPLETED]
    if len(answered) < len(made):
        return None
    outcome = merged(_outcomes(connection, answered), record.id)
    return outcome if outcome.size() <= max_bytes else Outcome(error=errors.result_too_large(max_bytes))


def _outcomes(connection: Redis, ended: list[JobRecord]) -> list[Outcome]:
    texts = cast("list[bytes | None]", connection.mget([outcome_key(one.id) for one in ended]))
    return [Outcome(error=errors.internal()) if text is None else Outcome.from_json(text) for text in texts]
