"""What a step in a job's life reads and what it does, as data: made by `lifecycle`, written by `apply`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.jobs.record import JobRecord
    from app.outcome import Outcome


class LeaseLost(Exception):
    """This run may not change the job any more: its lease ended, or the job was cancelled. Its result is dropped."""


class Spent(Exception):
    """The job can't be run again: it was sent to Claude as often as its client allows."""


@dataclass(frozen=True)
class Lease:
    """The right to publish the outcome of one run."""

    job_id: str
    execution_id: str
    worker: str


class Reason(StrEnum):
    """Why a job is requeued, besides what closed the gate and kinds of failures; clients read it as `waiting_for`."""

    WORKER_DIED = "its worker died"
    WORKER_STOPPED = "its worker was stopped"
    LEASE_ENDED = "its lease ended"
    PROCESS_DIED = "its Claude process died"
    PROCESS_MEMORY = "its Claude process took too much memory"
    PROCESS_GARBLED = "its Claude process sent too much, or what can't be read"
    NO_PROCESS = "Claude's process could not be started"
    REDIS_AWAY = "Redis went away"
    NEWER_WORKER = "it needs a newer worker"
    UNWANTED = "nobody waits for it"
    CHOICES = "its choices"


@dataclass(frozen=True)
class Requeue:
    """How a job goes back to the queue: nothing is its fault, or it may be tried again."""

    #: a `Reason`, the `gate.Cause` that all wait for, the `FailureKind` of the turn, or a text for people
    reason: str
    #: whether the run used up one of the job's attempts
    counts: bool
    #: whether the job may have killed the process that ran it; this is counted by itself, in `deaths`
    died: bool = False
    #: False: it was not sent to Claude after all, though it may have been noted
    was_sent: bool = True
    #: 0: to the queue's head, at once
    delay_seconds: float = 0.0


class Found(NamedTuple):
    """What a step has read: the record, None when there is none, the choices that it waits for, in their order, and the time.

    `beside`: the replies to what was asked in the same round trip.
    """

    record: JobRecord | None
    choices: Sequence[JobRecord | None] = ()
    now: float = 0.0
    beside: Sequence[Any] = ()


class Ticket(Enum):
    """What becomes of the job's place in the queue."""

    STAYS = auto()
    #: issued, to the queue's end, or, FIRST, to its head
    NEW = auto()
    NEW_FIRST = auto()
    #: taken by the run that `execution` names
    STARTED = auto()
    #: back into the queue
    FIRST = auto()
    #: the same, one that lets others pass before all such only
    FIRST_OF_KIND = auto()
    LAST = auto()
    #: outside of the queue until `due_at`
    LATER = auto()
    #: gone from the queue, since the job does not wait
    OUT = auto()
    #: among RQ's finished, failed or cancelled ones
    ENDED = auto()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one step does. Times are seconds since the epoch."""

    #: as it was read, and as it is to be: the difference is written
    before: JobRecord | None
    after: JobRecord | None
    ticket: Ticket = Ticket.STAYS
    due_at: float = 0.0
    #: when the lease of the run that begins ends
    lease_until: float | None = None
    #: what the job ends with; None: it does not end
    outcome: Outcome | None = None
    #: the event that reports its end; empty: none does
    event: str = ""
    #: when it is removed
    kept_until: float | None = None
    #: how long RQ keeps its ticket, and we its request, after its end
    ttl_seconds: int = 0
    #: whether the worker that runs it is interrupted
    interrupts: bool = False
    #: indexes that name it without reason
    leaves: tuple[str, ...] = ()
    #: what becomes of its choices in the same step
    choices: tuple[Change, ...] = ()
