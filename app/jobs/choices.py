"""The choices of a request (OpenAI's `n`): a job for each answer, so that idle workers ask at once and other requests go between.

The job that the client knows is their parent: it waits for them outside of the queue, held by no worker (`app.jobs.parents`).
A choice has no request of its own, it asks for its parent's. Clients see nothing of it, and nobody counts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.jobs.record import PAYLOAD_VERSION, JobKind, JobRecord, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: how long a choice is kept that nobody needs any more, seconds
SPARE_SECONDS = 60


def id_of(parent_id: str, number: int) -> str:
    """Always the same, so that no choice exists twice."""
    return f"{parent_id}-{number}"


def of(parent: JobRecord, number: int) -> JobRecord:
    """A choice that has not been asked for yet. It has its parent's times and limits, and attempts of its own."""
    return JobRecord(
        id=id_of(parent.id, number),
        kind=JobKind.CHOICE,
        status=Status.QUEUED,
        model=parent.model,
        created_at=parent.created_at,
        deadline_at=parent.deadline_at,
        max_attempts=parent.max_attempts,
        max_sends=parent.max_sends,
        service_tier=parent.service_tier,
        way=parent.way,
        request_id=parent.request_id,
        traceparent=parent.traceparent,
        tracestate=parent.tracestate,
        parent=parent.id,
        version=PAYLOAD_VERSION,
        owner=parent.owner,
    )


def is_missing(choice: JobRecord | None) -> bool:
    """Whether it has to be made (again). One that was cancelled before its parent had found no parent."""
    return choice is None or (choice.status is Status.CANCELLED and not choice.is_spent)


def is_under_way(choice: JobRecord | None) -> bool:
    """Whether it waits or runs."""
    return choice is not None and not choice.status.is_final


def failed(made: Iterable[JobRecord | None]) -> JobRecord | None:
    """The first that ended without an answer and may not be made again."""
    return next((one for one in made if one is not None and one.status in _FAILED and not is_missing(one)), None)


def runs(parent: JobRecord, made: Sequence[JobRecord]) -> dict[str, Any]:
    """What the runs of its choices add to the parent's record: it counts as sent as often as the choice that was sent most.

    Those that died come on top of its own, which died before there were choices.
    """
    return {
        "attempts": max(one.attempts for one in made),
        "sends": max(one.sends for one in made),
        "deaths": parent.deaths + max(one.deaths for one in made),
    }


def kept_until(choice: JobRecord, status: Status, now: float) -> float:
    """The second at which one that ends so is removed, unless its parent ends before: that needs it for as long as it may wait."""
    return (now if status is Status.CANCELLED else max(now, choice.deadline_at)) + SPARE_SECONDS


_FAILED = (Status.FAILED, Status.CANCELLED)
