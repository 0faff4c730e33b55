"""The prompt cache of the Messages API: what of a request was read from it, and what was written to it.

A request is kept up to each block that has ``cache_control``, tools first, then the system prompt, then the messages, when that
much is long enough for its model. A later request reads the longest beginning that it shares with what is kept, block by
block; that renews it. What is written can be read once the answer that wrote it has begun.
"""

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulator import tokens
from simulator.errors import ApiError
from simulator.message_request import MessageRequest

#: How long a beginning is kept after it was used last, by ``cache_control.ttl``, seconds.
LIFETIMES = {"5m": 300.0, "1h": 3600.0}

#: The least that is kept, by model, tokens: by Anthropic's documentation of the older ones. Others need the most.
LEAST_TOKENS = (
    (re.compile(r"claude-(sonnet-4(-[05])?|opus-4(-[01])?)(-\d{8}|$)|claude-3-(7-sonnet|5-sonnet|opus|sonnet)"), 1_024),
    (re.compile(r"claude-sonnet-4-6|claude-3-(5-)?haiku"), 2_048),
)
OTHER_LEAST_TOKENS = 4_096

#: How many blocks before a mark an earlier one is looked for.
LOOK_BACK = 20

#: Marks that a request may have.
MAX_MARKS = 4

#: Beginnings that are kept at most; the one that was used least recently goes first.
MAX_ENTRIES = 10_000


@dataclass
class _Entry:
    """``writer``: whoever wrote it does not read it; ``begins_at``: when others can."""

    lifetime: float
    expires_at: float
    begins_at: float
    writer: str


@dataclass(frozen=True)
class _Place:
    """The end of a block: what is there up to it, as a digest and in tokens, and its mark's ``ttl``."""

    digest: bytes
    tokens: int
    ttl: str | None


class PromptCache:
    """One cache; Message Batches have another one than single requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def usage(self, request: MessageRequest, *, begins_after: float = 0, writer: str = "") -> dict[str, Any]:
        """Return the input part of the request's usage, and keep what it marks; empty when it marks nothing.

        The answer begins after so many seconds. Requests of one ``writer`` run at the same time: none reads what another wrote.
        """
        if not _marks(request.body):
            return {}
        places = list(_places(request))
        marks = [number for number, place in enumerate(places) if place.ttl is not None]
        now = self._clock()
        read = self._read(places, marks, now, writer)
        written = dict.fromkeys(LIFETIMES, 0)
        upto = read
        for number in marks:
            place = places[number]
            if place.ttl is None or place.tokens <= upto or place.tokens < least_tokens(request.model):
                continue
            written[place.ttl] += place.tokens - upto
            upto = place.tokens
            lifetime = LIFETIMES[place.ttl]
            self._keep(place.digest, _Entry(lifetime, now + lifetime, now + begins_after, writer))
        return {
            "input_tokens": request.input_tokens - upto,
            "cache_creation_input_tokens": sum(written.values()),
            "cache_read_input_tokens": read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": count for ttl, count in written.items()},
        }

    def _read(self, places: list[_Place], marks: list[int], now: float, writer: str) -> int:
        """Return how many tokens are read; what is read is kept on."""
        looked_at = {number for mark in marks for number in range(max(0, mark - LOOK_BACK + 1), mark + 1)}
        found = 0
        for number in sorted(looked_at):
            place = places[number]
            entry = self._entries.get(place.digest)
            if entry is None or now >= entry.expires_at or now < entry.begins_at or (writer and entry.writer == writer):
                continue
            entry.expires_at = now + entry.lifetime
            self._entries.move_to_end(place.digest)
            found = place.tokens
        return found

    def _keep(self, digest: bytes, entry: _Entry) -> None:
        known = self._entries.get(digest)
        if known is not None and known.expires_at > self._clock():
            # Written by two at once: it can be read as soon as the first of them has begun.
            entry.begins_at = min(entry.begins_at, known.begins_at)
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)


def check_marks(body: dict[str, Any]) -> None:
    """Raise a 400 :class:`ApiError` for marks that the API refuses in a body whose messages are valid."""
    marks = _marks(body)
    if len(marks) > MAX_MARKS:
        raise ApiError(400, f"A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")
    lifetimes = [str(mark.get("ttl", "5m") if isinstance(mark, dict) else mark) for mark in marks]
    if wrong := [one for one in lifetimes if one not in LIFETIMES]:
        raise ApiError(400, f"cache_control.ephemeral.ttl: Input should be '5m' or '1h', not {wrong[0]!r}")
    if lifetimes != sorted(lifetimes):
        raise ApiError(400, "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")


def least_tokens(model: str) -> int:
    """Return how many tokens a beginning must have to be kept."""
    return next((least for pattern, least in LEAST_TOKENS if pattern.match(model)), OTHER_LEAST_TOKENS)


def _places(request: MessageRequest) -> Iterator[_Place]:
    body = request.body
    key = request.headers.get("x-api-key") or request.headers.get("authorization") or ""
    digest = hashlib.blake2b(json.dumps([key, request.model]).encode(), digest_size=16)
    count = 0

    def place(kind: str, value: Any, upto: int) -> _Place:
        bare = {name: one for name, one in value.items() if name != "cache_control"}
        digest.update(json.dumps([kind, bare], sort_keys=True).encode())
        mark = value.get("cache_control")
        return _Place(digest.copy().digest(), upto, None if mark is None else mark.get("ttl", "5m"))

    tools = body.get("tools") or []
    for number, tool in enumerate(tools, 1):
        count = tokens.count(json.dumps(tools[:number])) if number == len(tools) or "cache_control" in tool else count
        yield place("tool", tool, count)
    for block in _blocks(body.get("system")):
        count += tokens.count_block(block)
        yield place("system", block, count)
    # Another choice of tools or depth of thinking makes other messages.
    digest.update(json.dumps([body.get("tool_choice"), body.get("thinking")], sort_keys=True).encode())
    for message in body["messages"]:
        count += 1
        digest.update(str(message.get("role")).encode())
        for block in _blocks(message.get("content")):
            count += tokens.count_block(block)
            yield place("block", block, count)


def _marks(body: dict[str, Any]) -> list[Any]:
    contents = [body.get("system"), *(message.get("content") for message in body["messages"])]
    lists = [body.get("tools"), *(content for content in contents if isinstance(content, list))]
    blocks = [block for one in lists for block in one or () if isinstance(block, dict)]
    return [mark for block in blocks if (mark := block.get("cache_control")) is not None]


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or () if isinstance(block, dict)]
