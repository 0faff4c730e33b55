"""What is written to a connection and when: an answer with its pace and its faults, as a list of writes.

Nothing is sent here; :mod:`simulator.delivery` plays the script.
"""

import itertools
from dataclasses import dataclass

from simulator import sse
from simulator.answers import Answer
from simulator.errors import error_object
from simulator.rules import Respond

#: Seconds between two writes of a paced stream, about; faster than one token each, deltas grow instead.
TICK_SECONDS = 0.02

#: An event whose data is no JSON, as a proxy that cuts a line would leave it.
MALFORMED_EVENT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'


@dataclass(frozen=True)
class Write:
    """Bytes and the moment they are due, in seconds after the request was read."""

    at: float
    data: bytes


@dataclass(frozen=True)
class Script:
    """One HTTP answer; a ``broken`` one closes the connection after its last write, without an end.

    ``held``: the number of the write, from 0, before which it waits until its rule is removed.
    """

    status: int
    headers: dict[str, str]
    writes: list[Write]
    broken: bool = False
    content_type: str = "application/json"
    held: int | None = None


@dataclass(frozen=True)
class Pace:
    """Seconds before the first byte, and tokens per second of a stream (0: all at once)."""

    latency_seconds: float = 0
    tokens_per_second: float = 0


def stream_script(answer: Answer, respond: Respond, pace: Pace, headers: dict[str, str]) -> Script:
    """Return the script of a streamed answer."""
    piece_tokens = None
    if pace.tokens_per_second:
        piece_tokens = max(1, round(pace.tokens_per_second * TICK_SECONDS))
    before, after = _timed(sse.events(answer, piece_tokens), respond, pace)
    before, after = merge(before), merge(after)
    return Script(
        status=200,
        headers=headers,
        writes=before + after,
        broken=respond.break_after_deltas is not None,
        content_type="text/event-stream; charset=utf-8",
        held=len(before) if respond.held else None,
    )


def whole_script(answer: Answer, respond: Respond, pace: Pace, headers: dict[str, str]) -> Script:
    """Return the script of an answer that is not streamed; a token rate delays it as a whole.

    ``break_after_deltas`` closes the connection after half of the body, ``malformed_sse_after_deltas`` takes
    the body's last byte away, ``stream_error`` has no place in it.
    """
    body = sse.message_body(answer)
    at = pace.latency_seconds + respond.hang_seconds
    if pace.tokens_per_second:
        at += answer.usage["output_tokens"] / pace.tokens_per_second
    if respond.malformed_sse_after_deltas is not None:
        body = body[:-1]
    broken = respond.break_after_deltas is not None
    writes = [Write(at, body[: len(body) // 2] if broken else body)]
    return Script(200, headers, writes, broken, held=0 if respond.held else None)


def merge(writes: list[Write]) -> list[Write]:
    """Join the writes that are due at the same moment, so that each costs one system call."""
    return [
        Write(at, b"".join(write.data for write in group))
        for at, group in itertools.groupby(writes, key=lambda write: write.at)
    ]


def _timed(events: list[sse.Event], respond: Respond, pace: Pace) -> tuple[list[Write], list[Write]]:
    """Give each event its moment, and put the faults in their places. Those before the pause or the hold, and the others."""
    deltas = [position for position, event in enumerate(events) if event.delta_tokens is not None]

    def position_after(count: int | None) -> int | None:
        if count is None:
            return None
        # A fault after more deltas than there are comes before the message_delta, the last event but one.
        return deltas[count] if count < len(deltas) else len(events) - 2

    hang = position_after(respond.hang_after_deltas)
    malformed = position_after(respond.malformed_sse_after_deltas)
    broken = position_after(respond.break_after_deltas)
    error = position_after(respond.stream_error.after_deltas if respond.stream_error else None)

    at = pace.latency_seconds + (respond.hang_seconds if hang is None else 0)
    before: list[Write] = []
    writes: list[Write] = []
    for position, event in enumerate(events):
        if position == hang:
            at += respond.hang_seconds
            before, writes = writes, []
        if position == malformed:
            writes.append(Write(at, MALFORMED_EVENT))
        if position == error and respond.stream_error is not None:
            fault = error_object(respond.stream_error.type, respond.stream_error.message)
            writes.append(Write(at, sse.encode_event("error", fault)))
            break
        if position == broken:
            break
        if pace.tokens_per_second:
            at += (event.delta_tokens or 0) / pace.tokens_per_second
        writes.append(Write(at, event.data))
    return before, writes
