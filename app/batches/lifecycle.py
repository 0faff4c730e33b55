"""The life of a batch as functions: a record and an event in, the change out. No Redis, no storage, no clock; `steps` writes changes.

A step whose reply was lost is decided again on what it has written itself: it finds its own work, and changes nothing.

    validating -> in_progress -> finalizing -> completed
    validating | in_progress -> cancelling -> cancelled
    in_progress -> expired
    validating, or any other whose files are lost -> failed
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from app import errors
from app.batches.change import NOTHING_COPIED, Change, Found, LineRuns, NotFed
from app.batches.parts import lifecycle as part_lifecycle
from app.batches.record import FILES_LOST, OF_ACCOUNTS, BatchRecord, BatchStatus, Hold
from app.error_codes import ErrorCode
from app.jobs.record import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from app.batches.change import Copied, LineJob
    from app.batches.head import Head
    from app.jobs.record import JobRecord


def cancel(found: Found) -> Change:
    """No further line is started, those that run are interrupted. Raises `ErrorReply` (409) for one that has ended otherwise."""
    record = found.record
    if record.status in (BatchStatus.CANCELLING, BatchStatus.CANCELLED):
        return _unchanged(record)
    if record.status not in (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS):
        raise errors.conflict(f"Cannot cancel a batch with status '{record.status}'.", ErrorCode.BATCH_NOT_CANCELLABLE)
    # Its files may be unusable as before: it says so until it has ended.
    return Change(before=record, after=replace(record, status=BatchStatus.CANCELLING, cancelling_at=found.now))


#: the budgets that a batch goes on by itself after: whose they are, and how they are raised
_RAISED_BY = {
    Hold.SHARE: ("its share of a usage window", "'max_share'"),
    Hold.KEY_BUDGET: ("its key's budget", "'nightshift keys change NAME --budget AMOUNT/month'"),
    Hold.HOUSE_BUDGET: ("the house's budget", "NIGHTSHIFT_BUDGET"),
}


def hold(found: Found, why: Hold) -> Change:
    """No further line is started before somebody says so, or, held by a budget that is not its own, before `release`."""
    record = found.record
    if record.status is not BatchStatus.IN_PROGRESS or record.held not in ("", *OF_ACCOUNTS) or record.held == why:
        return _unchanged(record)
    return Change(before=record, after=replace(record, held=why, held_at=found.now))


def release(found: Found) -> Change:
    """There is room again in the budget that held it."""
    record = found.record
    if record.held not in OF_ACCOUNTS:
        return _unchanged(record)
    return Change(before=record, after=replace(record, held="", held_at=None))


def go_on(
    found: Found,
    *,
    way: str | None = None,
    max_cost_usd: float | None = None,
    max_tokens: int | None = None,
    max_share: str | None = None,
) -> Change:
    """A batch that is held goes on, by another way or with another budget if one is given; one that runs may get another budget.

    Raises `ErrorReply`: 409 for one that is not held, or by a budget that is not its own, 400 for a budget that is used up already.
    """
    record = found.record
    has_budget = max_cost_usd is not None or max_tokens is not None or max_share is not None
    is_held_by_others = record.held in OF_ACCOUNTS
    if is_held_by_others and way is None and not has_budget:
        raise errors.other_budget_used_up(*_RAISED_BY[Hold(record.held)])
    # An earlier try of the same may have continued it.
    is_continued = record.continued_at is not None and not record.held
    if record.status is not BatchStatus.IN_PROGRESS or not (record.held or has_budget or is_continued):
        raise errors.conflict("The batch is not held: there is nothing to continue.", ErrorCode.BATCH_NOT_HELD)
    # Where nobody knows what an answer costs, a budget in tokens takes its place.
    kept_usd = 0.0 if record.unpriced and max_tokens is not None else record.max_cost_usd
    after = replace(
        record,
        held=record.held if is_held_by_others else "",
        held_at=record.held_at if is_held_by_others else None,
        continued_at=found.now if record.held == Hold.TRIED else record.continued_at,
        way=record.way if way is None else way,
        max_cost_usd=kept_usd if max_cost_usd is None else max_cost_usd,
        max_tokens=record.max_tokens if max_tokens is None else max_tokens,
        max_share=record.max_share if max_share is None else max_share,
    )
    if (record.held or has_budget) and after.affordable(0) < 1:
        raise errors.budget_used_up(record.spent_usd, record.used_tokens)
    return Change(before=record, after=after)


def validated(
    found: Found,
    *,
    total: int,
    faults: int,
    refused: int,
    model: str,
    copied: Copied = NOTHING_COPIED,
    head: Head | None = None,
) -> Change:
    """All lines were looked at. `refused`: those that will fail, since their bodies are refused. `copied`: the first ones, which are done.

    `head`: what the lines have in common.
    """
    record = found.record
    done: dict[str, Any] = {
        "completed": copied.lines,
        "copied": copied.lines,
        "fed": copied.lines,
        "output_bytes": copied.output_bytes,
        "saved_usd": copied.saved_usd,
        "saved_unpriced": copied.unpriced,
    }
    if record.status is BatchStatus.CANCELLING:
        if faults:
            return end(found, BatchStatus.CANCELLED)
        # Cancelled before that was known, it has lines to be named.
        return Change(before=record, after=replace(record, total=total, model=model, **done))
    if record.status is not BatchStatus.VALIDATING:
        return _unchanged(record)
    if faults:
        return _moved(found, BatchStatus.FAILED, faults=faults, total=total, model=model)
    shared = {} if head is None else {f"head_{name}": value for name, value in asdict(head).items()}
    return _moved(found, BatchStatus.IN_PROGRESS, total=total, refused=refused, model=model, **done, **shared)


def feed(
    found: Found,
    lines: Sequence[LineJob],
    *,
    fed: int,
    again: bool,
    refused: Sequence[int] = (),
    in_part: Sequence[int] = (),
) -> Change:
    """Lines into the queue. Raises `NotFed`.

    `again`: they are some of those that have to be fed again, the others are next. `refused`: numbers that are to be put into
    the error file next. `in_part`: those that ask for the way `batches` by themselves: they are a part of their own.
    """
    record = found.record
    numbers = [line.number for line in lines]
    fed_after = fed if again else fed + len(numbers) + len(refused) + len(in_part)
    if record.status is not BatchStatus.IN_PROGRESS:
        raise NotFed
    if set(numbers) <= set(found.queued) and (numbers if again else record.fed == fed_after > fed):
        return _unchanged(record)
    if record.fed != fed or (again and not {*numbers, *in_part} <= set(found.again)):
        raise NotFed
    after = replace(record, fed=fed_after)
    change = Change(before=record, after=after, submitted=lines, queued=numbers, again=refused)
    return _with_part(change, found, in_part, is_bound=True) if in_part else change


def allot(found: Found, numbers: Sequence[int], *, fed: int, again: bool, primes: bool = False) -> Change:
    """Lines into a new part. `again`: they are some of those that have to be fed again, else the next. Raises `NotFed`.

    `primes`: it goes before all others, to have the lines' head in the prompt cache.
    """
    record = found.record
    fed_after = fed if again else fed + len(numbers)
    if record.status is not BatchStatus.IN_PROGRESS or record.fed != fed:
        raise NotFed
    if again and not set(numbers) <= set(found.again):
        raise NotFed
    after = replace(record, fed=fed_after, is_primed=record.is_primed or primes)
    return _with_part(Change(before=record, after=after), found, numbers)


def withdraw_parts(found: Found, ids: Collection[str], *, unsent_only: bool = True) -> Change:
    """Parts are gone, and those of their lines that have not ended are to be fed again."""
    parts = [part for part in found.parts.by_id.values() if part.id in ids]
    gone = [part for part in parts if part.state.is_unsent or not unsent_only]
    return replace(
        _unchanged(found.record),
        again=[number for part in gone for number in list(part.line_numbers)[part.collected :]],
        parts={part.id: None for part in gone},
        parts_made=found.parts.made,
    )


def end_parts(found: Found) -> Change:
    """Nothing more is wanted of the parts than what they have."""
    over = {part.id: replace(part, is_over=True) for part in found.parts.by_id.values() if not part.is_over}
    return replace(_unchanged(found.record), parts=over, parts_made=found.parts.made)


def withdraw(found: Found, jobs: Mapping[int, JobRecord | None]) -> Change:
    """Lines that have no job any more, or one that waits and must not start now, are to be fed again.

    One that waits for its choices has started.
    """
    waiting = {
        number: job for number, job in jobs.items() if job is None or job.public_status is not Status.IN_PROGRESS
    }
    runs = {number: LineRuns(job.attempts, job.deaths, job.sends) for number, job in waiting.items() if job is not None}
    kept = {number: counts for number, counts in runs.items() if any(counts)}
    parked = {number: job.parked for number, job in waiting.items() if job is not None and job.parked}
    return replace(_unchanged(found.record), again=waiting, runs=kept, forgotten=waiting, parked=parked)


def finalize(found: Found) -> Change:
    """All lines are in the files."""
    is_running = found.record.status is BatchStatus.IN_PROGRESS
    return _moved(found, BatchStatus.FINALIZING) if is_running else _unchanged(found.record)


def end(found: Found, status: BatchStatus) -> Change:
    """To completed, expired or cancelled: its files are known from now on."""
    record = found.record
    if record.status.is_final:
        return _unchanged(record)
    return replace(_moved(found, status), files=(record.output_file, record.error_file))


def lose(found: Found, kept: Collection[str]) -> Change:
    """Whatever is not final to failed, for its files are gone; those that are `kept` can be read afterwards."""
    record = found.record
    if record.status.is_final:
        return _unchanged(record)
    unrun = record.total - record.completed - record.failed
    change = _moved(found, BatchStatus.FAILED, failure=FILES_LOST, unrun=unrun)
    return replace(change, files=kept, forgotten=found.queued)


def note_stuck(found: Found, reason: str) -> Change:
    """Why its files can't be used now; nothing: they can again."""
    return Change(before=found.record, after=replace(found.record, stuck=reason))


def _with_part(change: Change, found: Found, numbers: Sequence[int], *, is_bound: bool = False) -> Change:
    part = part_lifecycle.allot(str(found.parts.made), numbers, found.now, is_bound=is_bound)
    return replace(change, unlisted=numbers, parts={part.id: part}, parts_made=found.parts.made + 1)


def _unchanged(record: BatchRecord) -> Change:
    """Nothing to do, or done already."""
    return Change(before=record, after=record)


def _moved(found: Found, status: BatchStatus, **fields: Any) -> Change:
    fields[f"{status}_at"] = found.now
    return Change(before=found.record, after=replace(found.record, status=status, stuck="", **fields))
