"""A job as Redis holds it: a small hash with its state, beside one key for the request and one for the outcome.

The hash is the truth about a job. RQ's own job is only its place in the queue (see `app.jobs.tickets`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import counters, hashes
from app.batches.record import LINE_ID, batch_of
from app.ids import OWNER
from app.openai.model_names import ALIASES, CLAUDE_MODELS
from app.trace_context import TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping

#: version of the layout below and of the request's payload; fields that are missing have their default, others are left.
#: A worker runs no job of a version above its own: raise it when what is left out there would change the answer
PAYLOAD_VERSION = 4
#: since then a job may ask for one way to Claude: an older worker would send it by its own
WAYS_VERSION = 4

ALL_JOBS = "nightshift:jobs"
#: job ids by the second at which maintenance removes them
RETENTION = "nightshift:jobs:retention"
#: "job:execution" by the second at which the worker's lease ends
LEASES = "nightshift:leases"
#: job ids whose client hung up, by the second at which they are cancelled
ABANDONED = "nightshift:jobs:abandoned"
#: job ids that have a deadline and wait, by that second
DEADLINES = "nightshift:jobs:deadlines"
#: ids of choices that have not ended, and of the jobs that wait for theirs, by the second these were made
CHOICES = "nightshift:jobs:choices"
#: channel on which the id of each job that ended is published
DONE = "nightshift:done"
#: channel on which the pieces of the answers that somebody reads while they are written are published
DELTAS = "nightshift:deltas"


#: more than any time in seconds since the epoch
_BEHIND = 1e10


class JobKind(StrEnum):
    """What a job is for; of a request, OpenAI's name for the object that it becomes. `endpoint`: as which it is counted."""

    endpoint: str

    def __new__(cls, kind: str, endpoint: str = counters.OTHER) -> JobKind:
        """A member is its name."""
        member = str.__new__(cls, kind)
        member._value_ = kind
        member.endpoint = endpoint
        return member

    CHAT_COMPLETION = "chat.completion", "/v1/chat/completions"
    RESPONSE = "response", "/v1/responses"
    TEXT_COMPLETION = "text_completion", "/v1/completions"
    #: a batch's line: its outcome is collected, and it is removed, by `app.batches` and nobody else
    BATCH_LINE = "batch.line", "/v1/batches"
    #: it asks for one of several answers to a request, see `app.jobs.choices`; it is not counted
    CHOICE = "choice"


#: of all jobs that are counted
ENDPOINTS = tuple(dict.fromkeys(kind.endpoint for kind in JobKind))


class Tier(StrEnum):
    """Values of `service_tier` that mean something here."""

    FLEX = "flex"
    #: not OpenAI's: a batch's line that goes to Message Batches
    BATCH = "batch"


class CacheUse(StrEnum):
    """What a request wants of the cache of answers (`NIGHTSHIFT_ANSWER_CACHE`), if not all of it."""

    #: its answer is neither looked up nor kept
    OFF = "off"
    #: it is not looked up, and kept in the place of an earlier one
    REFRESH = "refresh"


class Status(StrEnum):
    """OpenAI's words."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def record_key(job_id: str) -> str:
    """The hash of the job's state."""
    return f"nightshift:job:{job_id}"


def request_key(job_id: str) -> str:
    """The request's payload, JSON."""
    return f"nightshift:job:{job_id}:request"


def outcome_key(job_id: str) -> str:
    """The `Outcome`, JSON; there once the job has ended."""
    return f"nightshift:job:{job_id}:outcome"


def stream_key(job_id: str) -> str:
    """The pieces of the answer so far, a Redis stream; see `app.jobs.deltas`."""
    return f"nightshift:stream:{job_id}"


def lease_member(job_id: str, execution_id: str) -> str:
    """How `LEASES` names the lease of a run."""
    return f"{job_id}:{execution_id}"


def interrupt_channel(worker: str) -> str:
    """The channel on which a worker hears the id of a job that it should stop running."""
    return f"nightshift:interrupt:{worker}"


def queued_key(owner: str) -> str:
    """The interactive jobs of a key with a name that wait: how many it may have is limited."""
    return f"{status_key(Status.QUEUED)}:{owner}"


def status_key(status: Status) -> str:
    """The index of the jobs in a state: ids by the second they were made."""
    return f"{ALL_JOBS}:{status}"


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """The state of a job. Times are seconds since the epoch; a time that has not come is None."""

    id: str
    #: a `JobKind`, or what only newer code knows
    kind: str
    status: Status
    model: str
    created_at: float
    #: the request is never started after this
    deadline_at: float
    started_at: float | None = None
    finished_at: float | None = None
    #: runs that counted: not those that a usage limit, a restart of ours, or the death of a process ended
    attempts: int = 0
    #: how often it was put off for a while by a run that did not count: an overload, too much at once
    delays: int = 0
    max_attempts: int = 1
    #: how often its client lets it be sent to Claude, whatever becomes of it; 0: as often as it takes
    max_sends: int = 0
    #: how often it was, counted for such jobs only; and the execution that sent it last
    sends: int = 0
    sent_by: str = ""
    #: workers and Claude processes that died of it
    deaths: int = 0
    #: the RQ execution that may publish the outcome; empty when nobody may
    execution: str = ""
    #: the execution that did publish it
    published_by: str = ""
    #: the step that requeued it last, by an id of its own
    requeued_by: str = ""
    worker: str = ""
    callback_url: str = ""
    #: OpenAI's `service_tier`, and `batch`; `flex` lets others pass, as a batch's line does, and takes a cheap way
    service_tier: str = ""
    #: the only way to Claude that it takes (`app.ways`), as its client asked; empty: the ladder's
    way: str = ""
    #: nobody waits for it: its end is an event for those who registered for such
    background: bool = False
    #: it can be retrieved and built upon, so that its request is kept as long as its outcome
    is_stored: bool = False
    #: its client has deleted it: it is hidden, and removed within a minute
    is_deleted: bool = False
    #: whether a client reads the answer while it is written
    streams: bool = False
    #: the execution whose text a client may have read: no other may start to answer
    streamed_by: str = ""
    #: when the first piece of that text was emitted
    first_token_at: float | None = None
    #: why it waits, when it was requeued or parked
    waiting_for: str = ""
    #: the `scopes.Lot` where it is parked: outside of the queue, while every way that it may go is closed to its model
    parked: str = ""
    request_id: str = ""
    #: the trace that it belongs to, see `app.trace_context`
    traceparent: str = ""
    tracestate: str = ""
    metadata: hashes.Texts = field(default_factory=dict)
    #: how many jobs were made of it, one for each answer that it wants; 0: it asks by itself
    choices: int = 0
    #: of such a job, the one that it was made of
    parent: str = ""
    #: a `CacheUse`; empty: all
    cache: str = ""
    #: the oldest version that can run it
    version: int = 1
    #: whose it is, see `app.ids`
    owner: str = OWNER

    @property
    def ids(self) -> dict[str, str]:
        """What lines of the log about it carry."""
        found = {"job_id": self.id, "request_id": self.request_id, "batch_id": self._batch}
        return {name: value for name, value in found.items() if value}

    @property
    def trace(self) -> TraceContext:
        """The trace that it belongs to."""
        return TraceContext(self.traceparent, self.tracestate)

    @property
    def is_spent(self) -> bool:
        """Whether it must not be sent to Claude any more."""
        return 0 < self.max_sends <= self.sends

    @property
    def parking_order(self) -> float:
        """Its place among parked jobs: as they were made, those that let others pass behind all others."""
        return self.created_at + (_BEHIND if self.yields else 0.0)

    @property
    def yields(self) -> bool:
        """Whether it lets other requests pass in the queue."""
        return bool(self._batch) or self.service_tier == Tier.FLEX

    @property
    def public_id(self) -> str:
        """The id that its client knows: a choice's is its parent's."""
        return self.parent or self.id

    @property
    def endpoint_label(self) -> str:
        """The endpoint that it is counted for; a kind that only newer code knows is one of the others."""
        return JobKind(self.kind).endpoint if self.kind in set(JobKind) else counters.OTHER

    @property
    def model_label(self) -> str:
        """The model when it is one that we know by name, else its size; any client may make up names of models."""
        if self.model in ALIASES or self.model in CLAUDE_MODELS:
            return self.model
        return next((size for size in ALIASES if size in self.model), counters.OTHER)

    @property
    def choice(self) -> int:
        """Which of its parent's answers a choice asks for, from 0; 0 for any other job."""
        return int(self.id.rpartition("-")[2]) if self.kind == JobKind.CHOICE else 0

    @property
    def public_status(self) -> Status:
        """The status that clients see, and by which it is listed: what waits for its choices is in progress."""
        return Status.IN_PROGRESS if self.choices and self.status is Status.QUEUED else self.status

    @property
    def description(self) -> str:
        """Which job it is, for those who look at RQ: nothing of the request."""
        batch = f" of {self._batch}" if self._batch else ""
        attempt = f", attempt {self.attempts}" if self.attempts else ""
        return f"{self.kind} {self.id}{batch}, {self.model}{attempt}"

    @property
    def _batch(self) -> str:
        return batch_of(self.public_id) if self.public_id.startswith(LINE_ID) else ""

    def to_hash(self) -> dict[str, str]:
        """The Redis hash."""
        return hashes.to_hash(self)

    @classmethod
    def from_hash(cls, data: Mapping[Any, Any]) -> JobRecord | None:
        """The inverse of `to_hash`; None for an empty hash, which is how Redis says that there is none."""
        return hashes.from_hash(cls, data)
