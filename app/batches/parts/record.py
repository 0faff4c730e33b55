"""A part as Redis holds it: all parts of a batch are in one hash, by their ids, as JSON.

The bytes are in the batch's storage (`app.batches.storage.names`): a part's body until it is sent, its answers until they are collected.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from app.batches.record import batch_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: the field of the hash that counts the parts ever made: an id is never used again
_MADE = "made"


class PartState(StrEnum):
    """In this order; a part whose lines are to be fed again is removed."""

    #: its lines are chosen
    ALLOTTED = "allotted"
    #: its body is in the storage
    COMPOSED = "composed"
    #: it may have been sent: noted before it is, and until its id at the API is known
    SENDING = "sending"
    #: its id at the API is known
    SENT = "sent"
    #: the API has ended it
    ENDED = "ended"
    #: what became of each of its lines is in the storage
    ANSWERED = "answered"

    @property
    def is_unsent(self) -> bool:
        """Whether the API knows nothing of it."""
        return self in (PartState.ALLOTTED, PartState.COMPOSED)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The state of a part. Times are seconds since the epoch; a time that has not come is None."""

    id: str
    state: PartState
    created_at: float
    #: the numbers of its lines, ascending: `0-4999,5003`
    numbers: str
    #: how many lines these are
    lines: int
    #: requests in its body: a line that was refused has none, one that wants several answers has one for each
    requests: int = 0
    #: what all its requests together ask for in the header `anthropic-beta`
    betas: str = ""
    #: the try to send it, and when that began
    try_id: str = ""
    sending_at: float | None = None
    #: since when nobody waits for the answer to that try
    lost_at: float | None = None
    #: its id at the API
    api_id: str = ""
    #: whether that was found in the API's list, not heard from the API: its results have to prove it
    is_found: bool = False
    #: ids that were taken for its own, and are not
    not_ours: tuple[str, ...] = ()
    sent_at: float | None = None
    #: when the API was asked to cancel it
    cancelled_at: float | None = None
    ended_at: float | None = None
    #: how long the file of its answers is, and how much of that is in the batch's files, bytes
    answers_bytes: int = 0
    collected_bytes: int = 0
    #: how many of its lines are
    collected: int = 0
    #: its lines take no other way
    is_bound: bool = False
    #: its batch is over: it is not sent, or cancelled
    is_over: bool = False
    #: why nothing moves, for people; empty: it does
    waits: str = ""

    @property
    def line_numbers(self) -> Iterator[int]:
        """Of its lines."""
        for span in filter(None, self.numbers.split(",")):
            first, _, last = span.partition("-")
            yield from range(int(first), int(last or first) + 1)

    def to_json(self) -> str:
        """The field of the hash."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True)
class Parts:
    """All of a batch's that are there, by id, and how many were made so far."""

    by_id: Mapping[str, Part]
    made: int = 0

    def in_state(self, *states: PartState) -> list[Part]:
        """The oldest first."""
        return [part for part in self.by_id.values() if part.state in states]

    @property
    def unsent(self) -> list[Part]:
        """Those that the API knows nothing of."""
        return [part for part in self.by_id.values() if part.state.is_unsent]

    @property
    def lines(self) -> int:
        """Lines that have not ended."""
        return sum(part.lines - part.collected for part in self.by_id.values())

    def to_dict(self) -> dict[str, Any] | None:
        """As the batch object has them: lines by where they are, and why nothing moves; None where there are none."""
        if not self.by_id:
            return None
        at_api = self.in_state(PartState.SENDING, PartState.SENT)
        waits = [part.waits for part in self.by_id.values() if part.waits]
        return {
            "parts": len(self.by_id),
            "unsent": sum(part.lines for part in self.unsent),
            "sent": sum(part.lines for part in at_api),
            "ended": sum(part.lines - part.collected for part in self.in_state(PartState.ENDED, PartState.ANSWERED)),
            "sent_at": min((int(part.sent_at) for part in at_api if part.sent_at is not None), default=None),
            "reason": waits[0] if waits else None,
        }


NO_PARTS = Parts({})
_adapter = TypeAdapter(Part)


def parts_key(batch_id: str) -> str:
    """The hash of a batch's parts."""
    return f"{batch_key(batch_id)}:parts"


def parts_of(data: Mapping[bytes, bytes]) -> Parts:
    """What the hash has."""
    found = {key.decode(): value for key, value in data.items()}
    made = int(found.pop(_MADE, 0))
    parts = (_adapter.validate_json(text) for text in found.values())
    return Parts({part.id: part for part in sorted(parts, key=lambda part: int(part.id))}, made)


def fields_of(changed: Iterable[Part], made: int) -> dict[str, Any]:
    """The fields of the hash that hold these."""
    return {_MADE: made, **{part.id: part.to_json() for part in changed}}


def spans_of(numbers: Iterable[int]) -> str:
    """Ascending numbers as `Part.numbers` has them."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] + 1 == number:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def request_id(batch_id: str, part_id: str, number: int, choice: int = 0) -> str:
    """Of one request of a part, at the API: letters, digits and `-`, 64 characters at most, and never used again."""
    return f"{batch_id.removeprefix('batch_')}-{part_id}-{number}-{choice}"


def read_request_id(text: str) -> tuple[str, int, int] | None:
    """(batch and part, line, choice): the inverse, the first as `request_prefix` has it. None: it is none of ours."""
    try:
        prefix, number, choice = text.rsplit("-", 2)
        return prefix, int(number), int(choice)
    except ValueError:
        return None


def request_prefix(batch_id: str, part_id: str) -> str:
    """What all ids of a part's requests begin with."""
    return f"{batch_id.removeprefix('batch_')}-{part_id}"
