"""A batch as Redis holds it: one hash, and two small sets of line numbers. Its size does not depend on how many lines there are.

Lines are numbered from 0 over those that are not blank. Below `fed` each was given to the queue once; of those, the ones
in `lines_key` have no place in the output yet, and the ones in `again_key` left the queue without an outcome. What the few
of these that were run had come to is in `runs_key`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import hashes
from app.ids import OWNER

if TYPE_CHECKING:
    from collections.abc import Mapping

#: batch ids by the second they were made: all, and those that are not final
BATCHES = "nightshift:batches"
ACTIVE = "nightshift:batches:active"
#: ids of final batches by the second at which they are removed
BATCH_RETENTION = "nightshift:batches:retention"
#: ids of batches whose maker is told what becomes of them by messages
WITH_URLS = "nightshift:batches:notify"
#: how long a batch is remembered after its end, seconds
KEEP_SECONDS = 30 * 24 * 3600
#: lines of a batch with a budget that run at once before anybody knows what one costs
FIRST_LINES = 4
#: a `failure`: its files are gone
FILES_LOST = "files_lost"
#: before the number in a line's id, which is its job's id too
LINE_ID = "batch_req_"
#: what a line is taken for before anything is known of its batch, tokens; and what one token is taken for, bytes
_LINE_TOKENS = 1000.0
_TOKEN_BYTES = 4


class BatchStatus(StrEnum):
    """OpenAI's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self in (BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED)


class Hold(StrEnum):
    """What keeps a batch from going on while the gate is open; clients read it as `nightshift.waiting_for`, as they do a `gate.Cause`."""

    BATCH_WINDOW = "batch_window"
    #: all workers are kept for other requests
    RESERVE = "reserve"
    #: more of a usage window is used than is due by now (`NIGHTSHIFT_PACE`)
    PACE = "pace"
    NO_WORKERS = "no_workers"
    #: nobody does the batches' work
    NO_FEEDER = "no_feeder"
    #: it is to be sent by Message Batches, and no process sends its parts
    NO_LANE = "no_lane"
    #: Message Batches have it, or have put it off
    MESSAGE_BATCHES = "message_batches"
    FILES_ELSEWHERE = "files_elsewhere"
    FILES_UNUSABLE = "files_unusable"
    #: some of its lines were tried, and somebody is to look at them
    TRIED = "tried"
    #: no further line may be sent without passing the batch's budget
    BUDGET = "budget"
    #: the same of its key's (`app.api_keys`), and of the house's (`NIGHTSHIFT_BUDGET`): it goes on by itself when there is room again
    #: more of a usage window is used since it was made than it may use
    SHARE = "share"
    KEY_BUDGET = "key_budget"
    HOUSE_BUDGET = "house_budget"


#: holds that end by themselves
OF_ACCOUNTS = (Hold.SHARE, Hold.KEY_BUDGET, Hold.HOUSE_BUDGET)


class LineCounts:
    """Of whatever counts a batch's lines."""

    __slots__ = ()
    completed: int
    failed: int
    unrun: int

    @property
    def ended(self) -> int:
        """How many lines have ended, whether they ran or not."""
        return self.completed + self.failed + self.unrun


@dataclass(frozen=True, kw_only=True)
class BatchRecord(LineCounts):
    """The state of a batch. Times are seconds since the epoch; a time that has not come is None."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    status: BatchStatus
    created_at: float
    #: no line is started after this
    expires_at: float
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    expired_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None
    model: str = ""
    total: int = 0
    completed: int = 0
    failed: int = 0
    #: lines that ended without having run, since the batch was cancelled or expired
    unrun: int = 0
    fed: int = 0
    #: files that are written while the batch runs, known to `FileStore` when it ends, and how much of each counts
    output_file: str = ""
    error_file: str = ""
    output_bytes: int = 0
    error_bytes: int = 0
    #: the same of what is known of each line (`app.batches.report.line_stats`)
    facts_bytes: int = 0
    output_keep_seconds: int | None = None
    #: the storage that its files are in (`app.batches.leadership`); empty: older code made it
    place: str = ""
    #: why it failed, when it was for no fault in its file
    failure: str = ""
    #: why its files can't be used now, for people; empty: they can
    stuck: str = ""
    #: faults found by the validation; and of a file that may run, lines whose bodies are refused
    faults: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    #: of the input, what was written to the prompt cache
    cache_write_tokens: int = 0
    #: of the tokens, those of lines that went by Message Batches; and what lines that workers failed count as, for nobody knows
    part_tokens: int = 0
    failed_tokens: int = 0
    #: of the answers whose cost is known
    cost_usd: float = 0.0
    #: of that, what the prompt cache is known to have saved; below 0 for what it added
    cache_saved_usd: float = 0.0
    #: of the failures and further tries that were paid for
    wasted_usd: float = 0.0
    #: answers whose cost nobody knows
    unpriced: int = 0
    #: lines that workers ran, and how long those took together, each from the beginning of its last run to its end
    timed: int = 0
    run_seconds: float = 0.0
    callback_url: str = ""
    #: the name under which its input was uploaded
    input_name: str = ""
    input_bytes: int = 0
    #: whether answers of it are simulated ones
    offline: bool = False
    #: when its lines may run, see `app.window`; empty: as the settings say
    window: str = ""
    #: what all of its lines begin with (`app.batches.head`): bytes, 0 where it does not pay to keep it; blocks of the messages, and
    #: characters of the next one
    head_bytes: int = 0
    head_blocks: int = 0
    head_characters: int = 0
    #: its first part has one line, and all keep what its lines have in common in the prompt cache for an hour
    is_primed: bool = False
    #: the only way to Claude that its lines take (`app.ways`); empty: the ladder's
    way: str = ""
    #: how many lines are tried before the others wait for somebody's word (`app.batches.trial`); 0: none
    tried: int = 0
    #: the earlier batch from which the answers to lines that are the same were copied (`app.batches.since`), how much of its output counted
    #: then, how many these are, and what they had cost, US dollars, but of the `saved_unpriced` of which nobody knows it
    since: str = ""
    since_bytes: int = 0
    copied: int = 0
    saved_usd: float = 0.0
    saved_unpriced: int = 0
    #: when that word came
    continued_at: float | None = None
    #: what it may cost, US dollars and tokens read and written; 0: any amount
    max_cost_usd: float = 0.0
    max_tokens: int = 0
    #: what it may use of one of a subscription's usage windows, as `budgets.read_share` has it; empty: any share
    max_share: str = ""
    #: of its lines, the most that one has cost
    dearest_usd: float = 0.0
    dearest_tokens: int = 0
    #: `Hold.TRIED` or a budget's hold, while no further line is started for that; and since when
    held: str = ""
    held_at: float | None = None
    metadata: hashes.Texts = field(default_factory=dict)
    #: whose it is, and all that is made of it
    owner: str = OWNER

    @property
    def limit(self) -> int:
        """How many lines may be started for now, and those before them that were copied."""
        is_tried = self.tried and self.continued_at is None
        return min(self.copied + self.tried, self.total) if is_tried else self.total

    @property
    def answered(self) -> int:
        """Lines that were asked for and answered."""
        return self.completed - self.copied

    @property
    def ran(self) -> int:
        """Lines that were asked for and have ended."""
        return self.answered + self.failed

    def known_savings_usd(self) -> float | None:
        """What copied answers had cost, as far as that is known; None: of none."""
        return None if self.copied == self.saved_unpriced else round(self.saved_usd, 6)

    @property
    def used_tokens(self) -> int:
        """What its lines read and wrote."""
        return self.input_tokens + self.output_tokens

    @property
    def served_tokens(self) -> int:
        """What workers read and wrote for it. A line that they failed counts as much as the others have on average."""
        return self.used_tokens - self.part_tokens + self.failed_tokens

    @property
    def line_tokens(self) -> float:
        """What one of its lines is expected to read and write: as those that were answered; before that by its bytes."""
        if self.answered and self.used_tokens:
            return self.used_tokens / self.answered
        if self.total and self.input_bytes:
            return max(1.0, self.input_bytes / self.total / _TOKEN_BYTES)
        return _LINE_TOKENS

    @property
    def seconds_per_line(self) -> float | None:
        """How long a worker takes for one of its lines; None while none was timed."""
        return self.run_seconds / self.timed if self.timed else None

    @property
    def spent_usd(self) -> float:
        """What is known of all that was paid for it, US dollars."""
        return self.cost_usd + self.wasted_usd

    def affordable(self, in_flight: int) -> float:
        """How many further lines the budget is good for, if each costs as much as the dearest so far; `inf` without a budget.

        `in_flight`: lines that were started and have not ended. While none is known to have cost anything, a few at a time may start.
        """
        found = math.inf
        for most, used, dearest in (
            (self.max_cost_usd, self.spent_usd, self.dearest_usd),
            (self.max_tokens, self.used_tokens, self.dearest_tokens),
        ):
            if most and not dearest:
                found = min(found, max(0, FIRST_LINES - in_flight))
            elif most:
                found = min(found, max(0, math.floor((most - used) / dearest + 1e-9) - in_flight))
        return 0 if self.max_cost_usd and self.unpriced else found

    @property
    def ended_at(self) -> float | None:
        """When the batch has ended."""
        return self.completed_at or self.failed_at or self.expired_at or self.cancelled_at

    @property
    def has_budget(self) -> bool:
        """Whether the batch has one of its own, in dollars or tokens."""
        return bool(self.max_cost_usd or self.max_tokens)

    @property
    def files(self) -> list[tuple[str, int]]:
        """Those that it writes, output and errors, and how many bytes of each count."""
        return [(self.output_file, self.output_bytes), (self.error_file, self.error_bytes)]

    def known_cost_usd(self) -> float | None:
        """What its answers cost, as far as that is known; None: of no answer."""
        return None if 0 < self.answered == self.unpriced else round(self.cost_usd, 6)

    def to_hash(self) -> dict[str, str]:
        """The Redis hash."""
        return hashes.to_hash(self)

    @classmethod
    def from_hash(cls, data: Mapping[Any, Any]) -> BatchRecord | None:
        """The inverse of `to_hash`; None for an empty hash, which is how Redis says that there is none."""
        return hashes.from_hash(cls, data)


def batch_key(batch_id: str) -> str:
    """The hash of the batch's state."""
    return f"nightshift:batch:{batch_id}"


def urls_key(batch_id: str) -> str:
    """A string: JSON, where its maker wants messages. A key of its own, for URLs hold tokens: whoever is shown the batch is not shown these."""
    return f"nightshift:batch:{batch_id}:notify"


def lines_key(batch_id: str) -> str:
    """The numbers of the lines whose jobs have not been collected."""
    return f"nightshift:batch:{batch_id}:lines"


def again_key(batch_id: str) -> str:
    """The numbers of the lines that have to be given to the queue again."""
    return f"nightshift:batch:{batch_id}:again"


def runs_key(batch_id: str) -> str:
    """A hash: of lines that left the queue after they were run, by number, `LineRuns` as JSON."""
    return f"nightshift:batch:{batch_id}:runs"


def line_id(batch_id: str, number: int) -> str:
    """The id of a line's job, and of its line in the output: the same whenever it is made."""
    return f"{LINE_ID}{batch_id.removeprefix('batch_')}_{number}"


def batch_of(job_id: str) -> str:
    """The batch whose line has that id: the inverse of `line_id`."""
    return f"batch_{job_id.removeprefix(LINE_ID).rpartition('_')[0]}"
