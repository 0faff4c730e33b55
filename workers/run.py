"""The run that is going on in this process, if any: what tasks reach their worker by, and how a run is interrupted.

A task is called by RQ with the job's id alone. All else it needs hangs on `current()`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

    from app.gate import Gate
    from app.jobs.change import Lease
    from app.jobs.record import JobRecord
    from app.jobs.store import Jobs
    from app.settings import Settings
    from workers.engine import Engine


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
    gate: Gate
    settings: Settings
    engine: Engine
    connection: Redis
    interruption: Interruption | None = field(default=None)


_current: Run | None = None
_lock = threading.Lock()


def current() -> Run:
    """The run that is going on. Raises `RuntimeError` outside of one: tasks are for our own worker only."""
    if _current is None:
        raise RuntimeError("no run: this task is called by the Claude worker, not by a stock RQ worker")
    return _current


def begin(run: Run) -> None:
    """From now on `interrupt` reaches this run."""
    global _current  # noqa: PLW0603 - one process, one engine, one run: RQ gives its tasks no other place
    with _lock:
        _current = run


def end() -> None:
    """From now on `interrupt` reaches nothing."""
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
