"""What a run of a job comes to: an outcome to publish, or a reason to put the job back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.jobs.leases import PutBack

if TYPE_CHECKING:
    from app.outcome import Outcome


@dataclass(frozen=True)
class Publish:
    """The job has ended."""

    outcome: Outcome


Ending = Publish | PutBack
