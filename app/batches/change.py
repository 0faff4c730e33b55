"""What a step in a batch's life reads and what it does, as data: made by `lifecycle`, written by `steps`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from app.batches.parts.record import NO_PARTS, Part, Parts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from app.batches.output import Ended
    from app.batches.record import BatchRecord
    from app.jobs.record import JobRecord
    from app.outcome import Outcome


class LineRuns(NamedTuple):
    """What the jobs that a line has had so far add up to: its next one goes on from there. As in `JobRecord`."""

    attempts: int = 0
    deaths: int = 0
    sends: int = 0


#: of a line that has had none
NO_RUNS = LineRuns()


@dataclass(frozen=True)
class LineJob:
    """A line, ready for the queue."""

    number: int
    record: JobRecord
    payload: dict[str, Any]


class Found(NamedTuple):
    """What a step has read: the record, the time, the lines that have a job, or are to have one again, and the parts."""

    record: BatchRecord
    now: float
    queued: Collection[int] = ()
    again: Collection[int] = ()
    parts: Parts = NO_PARTS


class PartAnswers(NamedTuple):
    """Of a part's answers those up to some byte: lines that have ended, and what those add up to that are to be fed again."""

    upto: int
    lines: Sequence[tuple[int, Ended]]
    again: Mapping[int, LineRuns]
    #: of the lines, what counts
    counted: Sequence[tuple[JobRecord, Outcome]]
    #: for answers that nobody gets, US dollars
    paid_usd: float = 0.0


class Copied(NamedTuple):
    """From an earlier batch: lines and bytes of the output, and what the answers had cost, US dollars, but those of `unpriced` lines."""

    lines: int = 0
    output_bytes: int = 0
    saved_usd: float = 0.0
    unpriced: int = 0


NOTHING_COPIED = Copied()


class NotFed(Exception):
    """The batch does not run any more, or somebody else has fed these lines."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one step does. Lines are named by their numbers."""

    #: as it was read, and as it is to be: the difference is written
    before: BatchRecord
    after: BatchRecord
    #: lines that become jobs
    submitted: Sequence[LineJob] = ()
    #: lines that have a job and no outcome, lines that are to have one again, and those of either that are in the files now
    queued: Collection[int] = ()
    again: Collection[int] = ()
    collected: Collection[int] = ()
    #: lines that are to be fed again no more: a part has them
    unlisted: Collection[int] = ()
    #: what the jobs of lines that are to have another had come to
    runs: Mapping[int, LineRuns] = field(default_factory=dict)
    #: lines whose jobs are forgotten
    forgotten: Collection[int] = ()
    #: of these, those that are parked, and for what
    parked: Mapping[int, str] = field(default_factory=dict)
    #: parts that are others now, by id; None: one that is gone. And how many were made so far
    parts: Mapping[str, Part | None] = field(default_factory=dict)
    parts_made: int = 0
    #: lines that had no job, and count as one that ended so
    counted: Sequence[tuple[JobRecord, Outcome]] = ()
    #: what was paid besides, by Message Batches, US dollars
    paid_usd: float = 0.0
    #: those of the batch's files that can be asked for from now on
    files: Collection[str] = ()

    @property
    def ends(self) -> bool:
        """Whether this is the batch's end."""
        return self.after.status.is_final and not self.before.status.is_final
