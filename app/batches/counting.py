"""Lines that have ended count: what a batch's record says of them, whether they came from jobs or from a part. Pure, as `lifecycle`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.batches.change import Change
from app.batches.output import LineEnd
from app.outcome import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.batches.change import Found, PartAnswers
    from app.batches.output import Ended
    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord


def collected(
    found: Found, seen: BatchRecord, lines: Sequence[tuple[int, Ended]], written: Mapping[str, Any], *, offline: bool
) -> Change:
    """Lines are in the files: they count, and their jobs are forgotten.

    `seen`: the batch as it was then. `written`: fields that are others now, the files' lengths.
    """
    record = found.record
    if (record.output_bytes, record.error_bytes) != (seen.output_bytes, seen.error_bytes):
        return Change(before=record, after=record)
    numbers = [number for number, _ in lines]
    # Of those that had a job: what is refused before it has one costs no worker anything.
    unknown = sum(
        number in found.queued and line.kind is LineEnd.FAILED and not _tokens(line) for number, line in lines
    )
    after = replace(
        _counted(record, [line for _, line in lines]),
        failed_tokens=record.failed_tokens + round(unknown * record.line_tokens),
        offline=record.offline or offline,
        **written,
    )
    forgotten = [number for number in numbers if number < seen.fed]
    return Change(before=record, after=after, collected=numbers, forgotten=forgotten)


def collect_part(
    found: Found, seen: BatchRecord, part: Part, taken: PartAnswers, written: Mapping[str, Any], *, offline: bool
) -> Change:
    """What was `taken` of a part's answers is in the files. `seen`, `part`, `written`: as for `collected`."""
    record, known = found.record, found.parts.by_id.get(part.id)
    is_seen = (record.output_bytes, record.error_bytes) == (seen.output_bytes, seen.error_bytes)
    if known is None or known.collected_bytes != part.collected_bytes or not is_seen:
        return Change(before=record, after=record)
    lines = [line for _, line in taken.lines]
    counted = _counted(record, lines)
    after = replace(known, collected_bytes=taken.upto, collected=known.collected + len(lines) + len(taken.again))
    return Change(
        before=record,
        after=replace(
            counted,
            part_tokens=record.part_tokens + sum(map(_tokens, lines)),
            wasted_usd=counted.wasted_usd + taken.paid_usd,
            offline=record.offline or offline,
            **written,
        ),
        again=taken.again.keys(),
        runs={number: runs for number, runs in taken.again.items() if any(runs)},
        parts={part.id: None if taken.upto >= known.answers_bytes else after},
        parts_made=found.parts.made,
        counted=taken.counted,
        paid_usd=taken.paid_usd,
    )


def _counted(record: BatchRecord, lines: Sequence[Ended]) -> BatchRecord:
    def count(kind: LineEnd) -> int:
        return sum(line.kind is kind for line in lines)

    def total(name: str, detail: str = "") -> int:
        return sum(tokens(line.usage, name, detail) for line in lines)

    return replace(
        record,
        completed=record.completed + count(LineEnd.COMPLETED),
        failed=record.failed + count(LineEnd.FAILED),
        unrun=record.unrun + count(LineEnd.UNRUN),
        input_tokens=record.input_tokens + total("prompt_tokens"),
        output_tokens=record.output_tokens + total("completion_tokens"),
        cached_tokens=record.cached_tokens + total("prompt_tokens", "cached_tokens"),
        reasoning_tokens=record.reasoning_tokens + total("completion_tokens", "reasoning_tokens"),
        cache_write_tokens=record.cache_write_tokens + total("prompt_tokens", "cache_write_tokens"),
        dearest_usd=max((record.dearest_usd, *(line.cost_usd or 0.0 for line in lines))),
        dearest_tokens=max((record.dearest_tokens, *(_tokens(line) for line in lines))),
        cost_usd=record.cost_usd + sum(line.cost_usd or 0.0 for line in lines if line.kind is LineEnd.COMPLETED),
        cache_saved_usd=record.cache_saved_usd + sum(line.cache_saved_usd for line in lines),
        wasted_usd=record.wasted_usd + sum(line.cost_usd or 0.0 for line in lines if line.kind is LineEnd.FAILED),
        unpriced=record.unpriced + sum(line.kind is LineEnd.COMPLETED and line.cost_usd is None for line in lines),
    )


def _tokens(line: Ended) -> int:
    return tokens(line.usage, "prompt_tokens") + tokens(line.usage, "completion_tokens")
