"""The life of a job as pure functions, one for each event: what is known of the job in, a `Change` out. `app.jobs.apply` writes it.

The fence: `record.execution` names the only run that may publish an outcome or requeue the job.
If the reply to a step is lost, the step is decided again, on what it wrote itself: it finds its own id there, and changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app import errors
from app.jobs import choices
from app.jobs.change import Change, LeaseLost, Spent, Ticket
from app.jobs.record import CHOICES, DEADLINES, JobKind, JobRecord, Status
from app.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.errors import ErrorReply
    from app.jobs.change import Found, Lease, Requeue
    from app.scopes import Lot
    from app.settings import Settings

#: how long the outcome of a deleted job is kept for those who wait for it, seconds
NOTICE_SECONDS = 60.0


def submit(record: JobRecord, ttl_seconds: int) -> Change:
    """A new job, queued."""
    return Change(before=None, after=record, ticket=Ticket.NEW, ttl_seconds=ttl_seconds)


def end(found: Found, error: ErrorReply, status: Status, settings: Settings) -> Change:
    """Any status that is not final to cancelled or failed: a queued job never starts, a running one can no longer publish."""
    if found.record is None or found.record.status.is_final:
        return unchanged(found.record)
    return ended(found, found.record, Outcome(error=error), settings, status=status)


def fail_waiting(found: Found, error: ErrorReply, settings: Settings, *, spares_running: bool = False) -> Change:
    """Queued to failed, for a job that can't run any more (its deadline has passed, for example).

    `spares_running`: leave a job alone whose choices all run or have ended.
    """
    record = found.record
    if record is None or record.status is not Status.QUEUED:
        return replace(unchanged(record), leaves=(DEADLINES,))
    if spares_running and record.choices and all(one and one.status is not Status.QUEUED for one in found.choices):
        return unchanged(record)
    return ended(found, record, Outcome(error=error), settings)


def requeue_ticket(found: Found) -> Change:
    """Put the ticket of a queued job into the queue; take that of any other out of it."""
    record = found.record
    if record is None or record.status is not Status.QUEUED:
        return replace(unchanged(record), ticket=Ticket.OUT)
    # A job that yields is put behind the others again.
    ticket = Ticket.LAST if record.yields else Ticket.FIRST
    return Change(before=record, after=replace(record, waiting_for="", parked=""), ticket=ticket)


def park(found: Found, lot: Lot, reason: str) -> Change:
    """Take a queued job out of the queue, into a lot; it uses up no attempt. `reason`: why, as clients read it."""
    record = found.record
    if record is None or record.status is not Status.QUEUED:
        return replace(unchanged(record), ticket=Ticket.OUT)
    # In the schedule every process finds it, older ones too; at its deadline it is over.
    after = replace(record, parked=str(lot), waiting_for=reason)
    return Change(before=record, after=after, ticket=Ticket.LATER, due_at=record.deadline_at)


def unpark(record: JobRecord | None, lot: Lot) -> Change:
    """Put a job of the lot back at the queue's head; a job that is not parked there leaves the lot's index."""
    if record is None or record.status is not Status.QUEUED or record.parked != str(lot):
        return replace(unchanged(record), leaves=(lot.key,))
    after = replace(record, parked="", waiting_for="")
    return Change(before=record, after=after, ticket=Ticket.FIRST_OF_KIND)


def reissue(found: Found, ttl_seconds: int) -> Change:
    """Issue a new ticket for a queued job whose own is missing."""
    record = found.record
    if record is not None and record.status is Status.QUEUED:
        after = replace(record, parked="")
        return Change(before=record, after=after, ticket=Ticket.NEW, ttl_seconds=ttl_seconds)
    # Older code may have ended it without clearing that index.
    is_over = record is None or record.status.is_final
    return replace(unchanged(record), leaves=(CHOICES,) if is_over else ())


def label(found: Found, metadata: Mapping[str, str]) -> Change:
    """Replace the metadata."""
    return Change(before=found.record, after=found.record and replace(found.record, metadata=metadata))


def hide(found: Found) -> Change:
    """Hide a deleted job, and remove it when those who wait for it have had time to notice."""
    if (record := found.record) is None:
        return unchanged(record)
    after = replace(record, is_stored=False, is_deleted=True)
    return Change(before=record, after=after, kept_until=found.now + NOTICE_SECONDS)


def claim(found: Found, lease: Lease, lease_seconds: float) -> Change:
    """Queued to in_progress. If there is nothing to run (ended, taken by another run, or gone), the ticket is removed."""
    record = found.record
    if record is not None and record.execution == lease.execution_id:
        return unchanged(record)
    if record is None or record.status is not Status.QUEUED:
        return replace(unchanged(record), ticket=Ticket.OUT)
    after = replace(
        record,
        status=Status.IN_PROGRESS,
        execution=lease.execution_id,
        worker=lease.worker,
        # A job that waited for its choices keeps the time of its first run.
        started_at=(record.choices and record.started_at) or found.now,
        attempts=record.attempts + 1,
        waiting_for="",
        parked="",
    )
    return Change(before=record, after=after, ticket=Ticket.STARTED, lease_until=found.now + lease_seconds)


def note_sent(found: Found, lease: Lease) -> Change:
    """Count this run as sent to Claude. Raises `LeaseLost`, and `Spent` when it must not be sent."""
    held = held_by(found, lease)
    if held.sent_by == lease.execution_id:
        return unchanged(held)
    if held.is_spent:
        raise Spent(held.id)
    return Change(before=held, after=replace(held, sends=held.sends + 1, sent_by=lease.execution_id))


def publish(found: Found, lease: Lease, outcome: Outcome, settings: Settings) -> Change:
    """In_progress to completed or failed. Raises `LeaseLost`."""
    if found.record is not None and found.record.published_by == lease.execution_id:
        return unchanged(found.record)
    return ended(found, held_by(found, lease), outcome, settings, published_by=lease.execution_id)


def requeue(found: Found, lease: Lease, how: Requeue, name: str, settings: Settings) -> Change:
    """In_progress to queued, or to failed when the job must not be run again. `name`: this step's id. Raises `LeaseLost`."""
    if found.record is not None and found.record.requeued_by == name:
        return unchanged(found.record)
    held = held_by(found, lease)
    was_sent = how.was_sent or held.sent_by != held.execution
    attempts = held.attempts if how.counts else held.attempts - 1
    deaths = held.deaths + how.died
    if (error := _why_not_again(held, how, settings.max_worker_deaths, was_sent=was_sent)) is not None:
        # A run that ends the job is one of its attempts, unless it died.
        last = replace(held, attempts=attempts if how.died else held.attempts, deaths=deaths, requeued_by=name)
        return ended(found, last, Outcome(error=error), settings, published_by=lease.execution_id)
    is_delayed = how.delay_seconds > 0
    after = replace(
        held,
        status=Status.QUEUED,
        execution="",
        waiting_for=how.reason,
        parked="",
        attempts=attempts,
        delays=held.delays + (is_delayed and not how.counts),
        deaths=deaths,
        sends=held.sends - (not was_sent),
        sent_by="",
        requeued_by=name,
    )
    ticket = Ticket.LATER if is_delayed else Ticket.FIRST
    return Change(before=held, after=after, ticket=ticket, due_at=found.now + how.delay_seconds)


def unchanged(record: JobRecord | None) -> Change:
    """Nothing to do, or done already."""
    return Change(before=record, after=record)


def held_by(found: Found, lease: Lease) -> JobRecord:
    """The job that this run holds. Raises `LeaseLost`."""
    if found.record is None or found.record.execution != lease.execution_id:
        raise LeaseLost(f"{lease.job_id} is no longer this worker's")
    return found.record


def _why_not_again(held: JobRecord, how: Requeue, max_deaths: int, *, was_sent: bool) -> ErrorReply | None:
    if how.died and held.deaths + 1 >= max_deaths:
        return errors.dead_lettered(held.deaths + 1, how.reason)
    if held.streamed_by:
        # Its client may have read a piece of the answer, and would read a beginning twice.
        return errors.stream_interrupted(how.reason)
    return errors.not_sent_again(how.reason) if held.is_spent and was_sent else None


def ended(
    found: Found,
    record: JobRecord,
    outcome: Outcome,
    settings: Settings,
    *,
    status: Status | None = None,
    published_by: str = "",
) -> Change:
    """End the job, and its choices with it. `record`: as it was read, or with what its last run adds to it."""
    status = status or (Status.COMPLETED if outcome.error is None else Status.FAILED)
    made = [one for one in found.choices if one is not None]
    return Change(
        before=found.record,
        after=replace(
            _over(record, status, found.now), published_by=published_by, **(choices.runs(record, made) if made else {})
        ),
        ticket=Ticket.ENDED,
        outcome=outcome,
        event="" if record.kind == JobKind.CHOICE else _event(record, status, outcome),
        kept_until=_kept_until(record, status, found.now, settings),
        ttl_seconds=settings.result_ttl_seconds,
        interrupts=bool(record.execution) and not published_by,
        choices=tuple(_let_go(one, found.now) for one in made),
    )


def _over(record: JobRecord, status: Status, now: float) -> JobRecord:
    return replace(record, status=status, finished_at=now, execution="", published_by="", waiting_for="", parked="")


def _let_go(choice: JobRecord, now: float) -> Change:
    """Cancel a choice whose parent ends, and interrupt its turn, if it runs."""
    spare = Change(before=choice, after=choice, kept_until=now + choices.SPARE_SECONDS)
    if choice.status.is_final:
        return spare
    return replace(
        spare,
        after=_over(choice, Status.CANCELLED, now),
        ticket=Ticket.ENDED,
        outcome=Outcome(error=errors.cancelled()),
        ttl_seconds=choices.SPARE_SECONDS,
        interrupts=bool(choice.execution),
    )


def _kept_until(record: JobRecord, status: Status, now: float, settings: Settings) -> float | None:
    if record.kind == JobKind.BATCH_LINE:
        return None  # its batch removes it
    return (
        choices.kept_until(record, status, now) if record.kind == JobKind.CHOICE else now + settings.result_ttl_seconds
    )


def _event(record: JobRecord, status: Status, outcome: Outcome) -> str:
    """OpenAI's name for this end: a response may also be incomplete, or cancelled; a chat completion has failed then."""
    if record.kind == JobKind.RESPONSE and outcome.body is not None:
        return f"{record.kind}.{outcome.body.get('status', status)}"
    has_own_name = status is not Status.CANCELLED or record.kind == JobKind.RESPONSE
    return f"{record.kind}.{status if has_own_name else Status.FAILED}"
