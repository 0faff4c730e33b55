"""What messages say: numbers, times and names of files, and never a prompt or an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from app.batches.record import FILES_LOST, BatchStatus
from app.batches.waits import WAITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from app.batches.record import BatchRecord
    from app.notices.rules import Wait

#: named in one message
_MAX_NAMED = 10
_HOUR = 3600
#: what to do about a wait where nothing is to be done
_BY_ITSELF = "It goes on by itself."
_ENDS = MappingProxyType(
    {
        BatchStatus.COMPLETED: "is done",
        BatchStatus.FAILED: "failed: nothing was run",
        BatchStatus.EXPIRED: "has expired before it was done",
        BatchStatus.CANCELLED: "was cancelled",
    }
)


class Tone(StrEnum):
    """How a message looks where services have colours: Apprise's words."""

    INFO = "info"
    GOOD = "success"
    WAITS = "warning"
    BAD = "failure"


class Message(NamedTuple):
    """`title` is one line."""

    title: str
    text: str
    tone: Tone = Tone.INFO


class Where(NamedTuple):
    """How times and pages are written. `links`: what addresses of pages begin with; empty: there are none."""

    zone: tzinfo | None = None
    links: str = ""


def ended(record: BatchRecord, where: Where) -> Message:
    """A batch has ended."""
    how = _ENDS.get(record.status, f"is {record.status}")
    if record.status is BatchStatus.FAILED and record.failure == FILES_LOST:
        how = "failed: its files are lost"
    failed = f", {record.failed:,} failed" if record.status is BatchStatus.COMPLETED and record.failed else ""
    said = "\n".join([*numbers(record, where), *_page(record, where)])
    return Message(f"{_name(record)} {how}{failed}", said, _tone(record))


def failing(record: BatchRecord, where: Where) -> Message:
    """Many of its requests fail."""
    title = f"{_name(record)}: {record.failed:,} of {record.ended:,} requests failed so far"
    advice = f"It goes on. To end it: nightshift batch cancel {record.id}"
    return Message(title, "\n".join([*numbers(record, where), advice, *_page(record, where)]), Tone.BAD)


def held(record: BatchRecord, wait: Wait, where: Where) -> Message:
    """A batch waits."""
    why, advice = WAITS[wait.code]
    said = [advice.format(id=record.id) or _BY_ITSELF, *numbers(record, where), *_page(record, where)]
    return Message(f"{_name(record)} waits: {why}{_until(wait, where)}", "\n".join(said), Tone.WAITS)


def all_held(records: Sequence[BatchRecord], wait: Wait, where: Where) -> Message:
    """Batches wait for the same."""
    why, advice = WAITS[wait.code]
    number = f"{len(records):,} batches wait" if len(records) > 1 else f"{_name(records[0])} waits"
    lines = [_progress(record) for record in records[:_MAX_NAMED]]
    more = [f"and {len(records) - _MAX_NAMED:,} more"] if len(records) > _MAX_NAMED else []
    return Message(
        f"{number}: {why}{_until(wait, where)}", "\n".join([advice or _BY_ITSELF, *lines, *more]), Tone.WAITS
    )


def digest(records: Sequence[BatchRecord], waits: Mapping[str, Wait], where: Where) -> Message:
    """The last day, the newest batch first."""
    done = sum(record.status is BatchStatus.COMPLETED for record in records)
    answered, lost = (sum(getattr(record, name) for record in records) for name in ("completed", "failed"))
    title = (
        f"{done} of {len(records)} batch{'es' if len(records) > 1 else ''} done, {answered:,} answers, {lost:,} failed"
    )
    parts = []
    for record in records[:_MAX_NAMED]:
        wait = waits.get(record.id)
        why = [f"waits: {WAITS[wait.code].clause}{_until(wait, where)}"] if wait and wait.code in WAITS else []
        parts.append(
            "\n".join([f"{_name(record)}: {record.status}", *why, *numbers(record, where), *_page(record, where)])
        )
    more = [f"and {len(records) - _MAX_NAMED:,} more"] if len(records) > _MAX_NAMED else []
    return Message(f"Nightshift: {title}", "\n\n".join([*parts, *more]))


def numbers(record: BatchRecord, where: Where) -> list[str]:
    """The tiles of its report."""
    counts = [f"{record.completed:,} of {record.total:,} answered"]
    counts += [
        f"{number:,} {word}" for number, word in ((record.failed, "failed"), (record.unrun, "not run")) if number
    ]
    counts += [f"{record.copied:,} copied"] if record.copied else []
    cost = record.known_cost_usd()
    spent = [f"{record.input_tokens + record.output_tokens:,} tokens"]
    spent += [f"${cost:.2f}"] if cost is not None else []
    spent += [f"{record.unpriced:,} answers of unknown cost"] if record.unpriced else []
    found = [", ".join(counts), ", ".join(spent)]
    if (began := record.in_progress_at) is not None and (end := record.ended_at) is not None and end - began >= 60:
        rate = f"{record.completed / (end - began) * _HOUR:,.0f} an hour"
        found.append(f"{_time(began, where)} to {_time(end, where)}, {rate}")
    return found


def _tone(record: BatchRecord) -> Tone:
    if record.status is BatchStatus.COMPLETED:
        return Tone.WAITS if record.failed else Tone.GOOD
    return Tone.INFO if record.status is BatchStatus.CANCELLED else Tone.BAD


def _progress(record: BatchRecord) -> str:
    return f"{_name(record)}: {record.ended:,} of {record.total:,} done"


def _name(record: BatchRecord) -> str:
    return f"{record.input_name} ({record.id})" if record.input_name else record.id


def _page(record: BatchRecord, where: Where) -> list[str]:
    return [f"{where.links.rstrip('/')}/batches/{record.id}"] if where.links else []


def _until(wait: Wait, where: Where) -> str:
    return "" if wait.until is None else f", until {_time(wait.until, where)}"


def _time(at: float, where: Where) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone(where.zone).strftime("%a %H:%M")
