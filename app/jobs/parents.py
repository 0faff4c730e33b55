"""The life of a job that waits for its choices, as pure functions beside `lifecycle`: it fans out, and joins their outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.jobs import choices, lifecycle
from app.jobs.change import Change, Reason, Ticket
from app.jobs.record import PAYLOAD_VERSION, JobKind, JobRecord, Status

if TYPE_CHECKING:
    from app.jobs.change import Found, Lease
    from app.outcome import Outcome
    from app.settings import Settings

#: how often a job that waits for its choices is checked, in case nobody reported their end, seconds
LOOK_SECONDS = 5.0


def fan_out(found: Found, lease: Lease, count: int, name: str, settings: Settings) -> Change:
    """In_progress to queued; one job for each of its `count` answers is made, except those that exist already.

    This uses up no attempt. With a reserve, a batch's line has one choice at a time: it takes one worker, as any line does.
    `name`: this step's id. Raises `LeaseLost`.
    """
    if found.record is not None and found.record.requeued_by == name:
        return lifecycle.unchanged(found.record)
    held = lifecycle.held_by(found, lease)
    after = replace(
        held,
        status=Status.QUEUED,
        choices=held.choices or count,
        execution="",
        worker="",
        waiting_for=Reason.CHOICES,
        attempts=held.attempts - 1,
        requeued_by=name,
        # An older worker would ask for all of them again.
        version=PAYLOAD_VERSION,
    )
    missing = [number for number, choice in enumerate(found.choices) if choices.is_missing(choice)]
    if settings.reserve and held.kind == JobKind.BATCH_LINE:
        missing = [] if any(map(choices.is_under_way, found.choices)) else missing[:1]
    if choices.failed(found.choices):
        missing = []
    made = (
        replace(lifecycle.submit(choices.of(after, number), settings.result_ttl_seconds), ticket=Ticket.NEW_FIRST)
        for number in reversed(missing)
    )
    return Change(before=held, after=after, ticket=Ticket.LATER, due_at=found.now + LOOK_SECONDS, choices=tuple(made))


def waits(record: JobRecord | None) -> bool:
    """Whether it is queued for the outcomes of its choices."""
    return record is not None and record.status is Status.QUEUED and record.choices > 0


def joined(found: Found) -> list[JobRecord]:
    """The choices whose outcomes make the outcome of the job that waits for them: all, or one that failed and those answered so far. Empty: not yet."""
    if not waits(found.record):
        return []
    answered = [one for one in found.choices if one is not None and one.status is Status.COMPLETED]
    if failed := choices.failed(found.choices):
        return [failed, *answered]
    return answered if len(answered) == len(found.choices) else []


def join(found: Found, outcome: Outcome | None, settings: Settings) -> Change:
    """End a job that waits for its choices with `outcome`, which is made of theirs.

    None: not all have ended. It goes on waiting, or to the queue's head if a worker has to make missing ones.
    """
    record = found.record
    if record is None or not waits(record):
        return lifecycle.unchanged(record)
    if outcome is not None:
        return lifecycle.ended(found, record, outcome, settings)
    ticket = Ticket.LATER if any(map(choices.is_under_way, found.choices)) else Ticket.FIRST
    return Change(before=record, after=record, ticket=ticket, due_at=found.now + LOOK_SECONDS)
