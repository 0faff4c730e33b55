"""Deletes all that Redis holds of a job. The job must have ended, or be a batch's line whose batch has its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.jobs import tickets
from app.jobs.record import (
    ABANDONED,
    ALL_JOBS,
    CHOICES,
    DEADLINES,
    RETENTION,
    Status,
    outcome_key,
    record_key,
    request_key,
    status_key,
    stream_key,
)

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline


def remove(connection: Redis, job_id: str) -> None:
    """Delete all that there is of a job that has ended. The indexes that name it are cleared last, so that a removal which breaks off is done again."""
    # Not in a MULTI: a Redis that is full lets nothing into one, and this is what makes room.
    pipe = connection.pipeline(transaction=False)
    _delete(pipe, job_id)
    pipe.execute()


def forget(connection: Redis, pipe: Pipeline, job_id: str, *, has_ended: bool = False) -> None:
    """Put the commands that delete a job, its ticket included, on the caller's pipeline. `has_ended`: for sure, so that it waits nowhere."""
    tickets.forget(pipe, tickets.ticket(connection, job_id), waits=not has_ended)
    _delete(pipe, job_id)


def _delete(pipe: Pipeline, job_id: str) -> None:
    pipe.delete(record_key(job_id), request_key(job_id), outcome_key(job_id), stream_key(job_id))
    for key in (ALL_JOBS, CHOICES, DEADLINES, ABANDONED, *map(status_key, Status), RETENTION):
        pipe.zrem(key, job_id)
