"""How the lines of a batch begin alike, and whether it pays to keep that beginning in the prompt cache: the arithmetic is in docs/cost.md.

Claude is given functions first, then the system text, then the messages. What all lines have in common is the head. It is found while
the lines are validated, of which each is looked at once; lines that begin differently end the search at once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import messages
from app.errors import ErrorReply
from app.messages.request import FIVE_MINUTES, NEVER, ONE_HOUR, as_blocks
from app.openai.payload import COMPLETION, answers, as_chat_payload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.batches.record import BatchRecord
    from app.messages.request import Json, MessagesRequest

    #: a block with its message's place and role
    _Placed = tuple[int, str, Json]

#: of a text, at most: so rather too much is marked, which costs nothing, since the API keeps nothing that is too short
BYTES_A_TOKEN = 3
#: the least that a model keeps, tokens, by Anthropic's documentation of the older ones; all others: the most of any
LEAST_TOKENS = (
    (re.compile(r"claude-(sonnet-4(-[05])?|opus-4(-[01])?)(-\d{8}|$)|claude-3-(7-sonnet|5-sonnet|opus)"), 1_024),
    (re.compile(r"claude-sonnet-4-6|claude-3-(5-)?haiku"), 2_048),
)
OTHER_LEAST_TOKENS = 4_096
#: a text is parted in two only for the sake of so much, bytes
LEAST_SPLIT = 1_024
#: two lines pay for the writing of the head already; with fewer than this the wait for the first is not worth it
LINES = 3
#: with fewer the hours that a first part of one line takes are not worth it (`parts.feeding`)
PRIMED_LINES = 20
#: in the metadata of a batch, and its value: nothing of it is kept
PROMPT_CACHE, OFF = "prompt_cache", "off"
#: of lines that begin so far apart the head would be gone after five minutes, seconds; so many have to have ended before that is known
_FAR_APART, _KNOWN_LINES = 240.0, 3
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Head:
    """What all lines of a batch begin with: functions, system text, so many blocks of the messages, and characters of the next one."""

    bytes: int
    blocks: int = 0
    characters: int = 0


class HeadFinder:
    """Takes one line after the other. Keeps the first one."""

    def __init__(self) -> None:
        self._lines = 0
        self._first: MessagesRequest | None = None
        self._first_blocks: list[_Placed] = []
        #: how much of the first one's blocks all lines have
        self._blocks = self._characters = 0
        self._least = 0
        self._is_over = False

    def add(self, payload: dict[str, Any]) -> None:
        """A line as it was accepted."""
        self._lines += 1
        if self._is_over:
            return
        try:
            for number in range(answers(payload) if COMPLETION in payload else 1):
                self._add(messages.to_claude(as_chat_payload(payload, number)))
        except ErrorReply:
            # The worker will refuse it, too.
            return

    def found(self) -> Head | None:
        """The head, where it pays to keep it."""
        if self._is_over or self._first is None or self._lines < LINES:
            return None
        characters = 0
        if self._characters:
            text = str(self._first_blocks[self._blocks][2]["text"])[: self._characters]
            characters = _seam(text)
            if len(text[:characters].encode("utf-8", "surrogatepass")) < LEAST_SPLIT:
                characters = 0
        size = self._size(self._blocks, characters)
        return Head(size, self._blocks, characters) if size >= self._least else None

    def _add(self, request: MessagesRequest) -> None:
        blocks = _flat(request)
        if self._first is None:
            self._first, self._first_blocks = request, blocks
            self._blocks = len(blocks)
            self._least = BYTES_A_TOKEN * least_tokens(request.model)
            self._is_over = self._size(self._blocks, 0) < self._least
            return
        if (request.tools, request.system) != (self._first.tools, self._first.system):
            self._is_over = True
            return
        before = self._blocks, self._characters
        if (request.tool_choice, request.thinking) != (self._first.tool_choice, self._first.thinking):
            # To the API these are a part of what the messages begin with.
            self._blocks = self._characters = 0
        self._narrow(blocks)
        if (self._blocks, self._characters) != before:
            self._is_over = self._size(self._blocks, self._characters) < self._least

    def _narrow(self, blocks: Sequence[_Placed]) -> None:
        """To what these have in common with it."""
        for number in range(self._blocks):
            if number < len(blocks) and blocks[number] == self._first_blocks[number]:
                continue
            self._characters = _shared_text(self._first_blocks[number], blocks[number : number + 1])
            self._blocks = number
            return
        if self._characters:
            shared = _shared_text(self._first_blocks[self._blocks], blocks[self._blocks : self._blocks + 1])
            self._characters = min(self._characters, shared)

    def _size(self, blocks: int, characters: int) -> int:
        """Bytes of a head."""
        if self._first is None:
            return 0
        found = len(json.dumps(self._first.tools)) if self._first.tools else 0
        found += len((self._first.system or "").encode("utf-8", "surrogatepass"))
        found += sum(_bytes(block) for *_, block in self._first_blocks[:blocks])
        if characters:
            text = str(self._first_blocks[blocks][2]["text"])[:characters]
            found += len(text.encode("utf-8", "surrogatepass"))
        return found


def least_tokens(model: str) -> int:
    """How many tokens the API keeps of that model at least."""
    return next((least for pattern, least in LEAST_TOKENS if pattern.match(model)), OTHER_LEAST_TOKENS)


def is_kept(record: BatchRecord) -> bool:
    """Whether the batch's lines have a head that pays."""
    return record.head_bytes > 0 and record.metadata.get(PROMPT_CACHE) != OFF


def cache_of(record: BatchRecord, now: float) -> Mapping[str, Any]:
    """`payload["cache"]` of the batch's lines (`messages.request.CachePlan`)."""
    if record.metadata.get(PROMPT_CACHE) == OFF:
        return {"ttl": NEVER}
    found = {"ttl": _lifetime(record, now)}
    return found | ({"blocks": record.head_blocks, "characters": record.head_characters} if record.head_bytes else {})


def _lifetime(record: BatchRecord, now: float) -> str:
    """An hour where lines are too far apart for five minutes, each of which a line that reads begins anew, at no cost."""
    ran = record.completed + record.failed - record.copied
    if ran < _KNOWN_LINES or record.in_progress_at is None:
        return FIVE_MINUTES
    return ONE_HOUR if (now - record.in_progress_at) / ran > _FAR_APART else FIVE_MINUTES


def _flat(request: MessagesRequest) -> list[_Placed]:
    return [
        (at, message["role"], block)
        for at, message in enumerate(request.messages)
        for block in as_blocks(message["content"])
    ]


def _shared_text(one: _Placed, others: Sequence[_Placed]) -> int:
    """How many characters two texts at one place have in common; `others`: one, or none."""
    for *place, block in others:
        if place == [*one[:2]] and block["type"] == one[2]["type"] == "text":
            return _common(str(one[2]["text"]), str(block["text"]))
    return 0


def _common(one: str, two: str) -> int:
    """The length of what both begin with, by halves: texts are compared in one go, characters are not."""
    low, high = 0, min(len(one), len(two))
    if one[:high] == two[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _seam(text: str) -> int:
    """Where a text is parted: before its last white space, so that no word is cut; where there is little of that, at its end."""
    last = max((found.start() for found in _SPACE.finditer(text)), default=0)
    return last if last > len(text) / 2 else len(text)


def _bytes(block: Json) -> int:
    text = block.get("text")
    return len((text if isinstance(text, str) else json.dumps(block)).encode("utf-8", "surrogatepass"))
