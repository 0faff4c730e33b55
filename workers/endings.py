"""What a run of a job comes to: an outcome to publish, or a reason to put the job back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.outcome import Outcome


@dataclass(frozen=True)
class Publish:
    """The job has ended."""

    outcome: Outcome


@dataclass(frozen=True)
class PutBack:
    """The job goes back to the queue; nothing is its fault, or it may be tried again."""

    reason: str
    #: whether the run used up one of the job's attempts
    counts: bool
    #: whether the job may have killed the process that ran it
    died: bool = False
    #: False: it was not sent to Claude after all
    was_sent: bool = True
    #: 0: to the queue's head, at once
    delay_seconds: float = 0.0


Ending = Publish | PutBack
