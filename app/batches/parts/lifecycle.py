"""The life of a part as functions: the part and an event in, the part afterwards out. No Redis, no storage, no clock, no API.

A step that comes too late, or is decided again since its reply was lost, changes nothing: the caller reads in the part that
it gets which of the two it was.

    allotted -> composed -> sending -> sent -> ended -> answered
                  sending -> composed     the API has refused it, or was not reached: nothing was sent
                  sending -> answered     it is not in the API's list: its lines are fed again
                  sent -> sending         its results are another's

Only `batches.lifecycle` makes parts and removes them: that moves lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.batches.parts.record import Part, PartState, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def allot(part_id: str, numbers: Sequence[int], now: float, *, is_bound: bool = False) -> Part:
    """A new part."""
    spans = spans_of(numbers)
    return Part(
        id=part_id, state=PartState.ALLOTTED, created_at=now, numbers=spans, lines=len(numbers), is_bound=is_bound
    )


def compose(part: Part, *, requests: int, betas: str) -> Part:
    """Its body is in the storage."""
    if part.state is not PartState.ALLOTTED:
        return part
    return replace(part, state=PartState.COMPOSED, requests=requests, betas=betas, waits="")


def divide(part: Part, count: int, new_id: str, now: float) -> tuple[Part, Part | None]:
    """Only its first `count` lines fit: the others become a part of their own."""
    if not part.state.is_unsent or not 0 < count < part.lines:
        return part, None
    numbers = list(part.line_numbers)
    first = replace(part, state=PartState.ALLOTTED, numbers=spans_of(numbers[:count]), lines=count)
    return first, allot(new_id, numbers[count:], now, is_bound=part.is_bound)


def begin_sending(part: Part, try_id: str, now: float) -> Part:
    """It is about to be sent. The caller sends it only if the part has its `try_id` afterwards."""
    if part.state is not PartState.COMPOSED or part.is_over:
        return part
    return replace(part, state=PartState.SENDING, try_id=try_id, sending_at=now, lost_at=None, waits="")


def not_sent(part: Part, try_id: str, why: str) -> Part:
    """The API has not taken it, and says so, or was not reached."""
    if part.state is not PartState.SENDING or part.try_id != try_id:
        return part
    return replace(part, state=PartState.COMPOSED, try_id="", sending_at=None, waits=why)


def lose_answer(part: Part, now: float) -> Part:
    """Nobody waits for the answer to its try: it may be there or not."""
    if part.state is not PartState.SENDING or part.lost_at is not None:
        return part
    return replace(part, lost_at=now, waits="the answer to its sending was lost")


def note_sent(part: Part, api_id: str, now: float, *, is_found: bool = False) -> Part:
    """The API has it. `is_found`: in its list, by counts and times."""
    if part.state is not PartState.SENDING:
        return part
    return replace(part, state=PartState.SENT, api_id=api_id, is_found=is_found, sent_at=now, waits="")


def disown(part: Part) -> Part:
    """What was found in the list is another's, as its results' ids say: it is looked for again."""
    if not part.is_found or part.state not in (PartState.SENT, PartState.ENDED):
        return part
    return replace(
        part,
        state=PartState.SENDING,
        api_id="",
        is_found=False,
        not_ours=(*part.not_ours, part.api_id),
        sent_at=None,
        ended_at=None,
        cancelled_at=None,
    )


def note_cancelled(part: Part, now: float) -> Part:
    """The API was asked to cancel it."""
    return replace(part, cancelled_at=now) if part.state is PartState.SENT else part


def end(part: Part, ended_at: float) -> Part:
    """The API has ended it."""
    return replace(part, state=PartState.ENDED, ended_at=ended_at, waits="") if part.state is PartState.SENT else part


def answer(part: Part, answers_bytes: int, now: float) -> Part:
    """What became of each of its lines is in the storage, were it sent or not."""
    if part.state is PartState.ANSWERED:
        return part
    ended_at = part.ended_at or now
    return replace(part, state=PartState.ANSWERED, ended_at=ended_at, answers_bytes=answers_bytes, waits="")


def note_wait(part: Part, why: str) -> Part:
    """Why nothing moves, for people."""
    return replace(part, waits=why)
