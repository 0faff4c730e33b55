"""What a run of a job comes to: an outcome to publish, a reason to requeue the job, or other jobs to wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.jobs.change import Requeue

if TYPE_CHECKING:
    from app.outcome import Outcome


@dataclass(frozen=True)
class Publish:
    """The job has ended."""

    outcome: Outcome


@dataclass(frozen=True)
class FanOut:
    """So many jobs of their own ask for the job's answers, and it waits for them."""

    choices: int


Ending = Publish | Requeue | FanOut
