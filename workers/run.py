"""The current run of this process, if any: how tasks reach their worker, and how a run is interrupted.

RQ calls a task with the job's id alone. It gets everything else from `current()`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import spans
from app.gate import Gate
from app.jobs.change import Requeue
from app.scopes import family_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from redis import Redis

    from app.admission import Probes
    from app.jobs.change import Lease
    from app.jobs.record import JobRecord
    from app.jobs.store import Jobs
    from app.messages.answer import Answer
    from app.outcome import Outcome
    from app.scopes import Scope
    from app.settings import Settings
    from workers.engine import Engine
    from workers.own_limits import OwnLimits


@dataclass(frozen=True)
class Publish:
    """The job has ended."""

    outcome: Outcome


@dataclass(frozen=True)
class FanOut:
    """The job waits for that many choices, jobs that ask for one answer each."""

    choices: int


Ending = Publish | Requeue | FanOut


class Interruption(StrEnum):
    """Why a run was ended from outside."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease_lost"
    STOPPING = "stopping"


@dataclass
class Run:
    """One execution of one job."""

    lease: Lease
    record: JobRecord
    jobs: Jobs
    probes: Probes
    settings: Settings
    engine: Engine
    connection: Redis
    #: the payload as it was claimed; None: it is to be read, or was parsed
    request: bytes | None = None
    #: those of the worker's own logins; None: whatever limit it meets closes the gate
    limits: OwnLimits | None = None
    interruption: Interruption | None = field(default=None)
    #: what its turns cost that were answered, US dollars; None: nobody knows
    costs: list[float | None] = field(default_factory=list)

    @property
    def family(self) -> str:
        """Of the model that it asks."""
        return family_of(self.record.model)

    def gate(self, scope: Scope) -> Gate:
        """That of a scope."""
        return Gate(self.connection, scope)


_current: Run | None = None
_lock = threading.Lock()


def current() -> Run:
    """The run that is going on. Raises `RuntimeError` outside of one: tasks are for our own worker only."""
    if _current is None:
        raise RuntimeError("no run: this task is called by the Claude worker, not by a stock RQ worker")
    return _current


def begin(run: Run) -> None:
    """Make this the current run, which `interrupt` ends."""
    global _current  # noqa: PLW0603 - one process, one engine, one run: RQ gives its tasks no other place
    with _lock:
        _current = run


def end() -> None:
    """There is no current run any more."""
    global _current  # noqa: PLW0603 - see `begin`
    with _lock:
        _current = None


def interrupt(why: Interruption, job_id: str | None = None) -> bool:
    """End the running turn (of that job only, when one is named). From any thread. Whether there was one."""
    with _lock:
        run = _current
        if run is None or (job_id is not None and run.record.id != job_id):
            return False
        run.interruption = run.interruption or why
        run.engine.interrupt()
        return True


def queued_span(run: Run) -> None:
    """From the request's acceptance to the start of this run, runs before it included."""
    record = run.record
    with spans.span("queue", record.trace, _span_fields(run), began_at=record.created_at, kind="consumer"):
        pass


def turn_span(run: Run) -> AbstractContextManager[spans.Span]:
    """One question to Claude. Its context is sent with the API's requests."""
    return spans.span("turn", run.record.trace, _span_fields(run), kind="client")


def of_answer(answer: Answer) -> dict[str, Any]:
    """What a turn's span has to say of its answer, by OpenTelemetry's names."""
    return {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": [answer.stop_reason] if answer.stop_reason else None,
        "gen_ai.usage.input_tokens": answer.usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": answer.usage.get("output_tokens"),
    }


def _span_fields(run: Run) -> dict[str, Any]:
    return spans.of_job(run.record, attempt=run.record.attempts, worker=run.lease.worker)
