"""An answer as it goes over the wire: the events of a stream, or one JSON body.

Source of the events: https://docs.claude.com/en/docs/build-with-claude/streaming.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator import tokens
from simulator.answers import Answer
from simulator.blocks import Block

#: Characters of a delta, unless the answer is long.
PIECE_CHARACTERS = 5 * tokens.CHARACTERS_PER_TOKEN

#: Deltas of a long block, about: more would only cost time.
PIECES_OF_LONG_BLOCK = 32


@dataclass(frozen=True)
class Event:
    """One server-sent event; ``delta_tokens`` are the output tokens that it carries, None for what is no delta."""

    data: bytes
    delta_tokens: int | None = None


def encode_event(name: str, value: dict[str, Any]) -> bytes:
    """Return the bytes of the event ``name`` with ``value`` as its JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _compact(value))


def message_body(answer: Answer) -> bytes:
    """Return the JSON body of an answer that is not streamed."""
    message = _envelope(answer) | {
        "content": [block.whole() for block in answer.blocks],
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "usage": answer.usage,
    }
    return _compact(message)


def events(answer: Answer, piece_tokens: int | None = None) -> list[Event]:
    """Return the whole stream of ``answer``, its deltas of ``piece_tokens`` each, or of a size that fits the answer."""
    return list(_events(answer, piece_tokens))


def _events(answer: Answer, piece_tokens: int | None) -> Iterator[Event]:
    start = _envelope(answer) | {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        # As in the public API: the input is known at the start, and one output token stands for the rest.
        "usage": answer.usage | {"output_tokens": min(1, answer.usage["output_tokens"])},
    }
    yield Event(encode_event("message_start", {"type": "message_start", "message": start}))
    yield Event(encode_event("ping", {"type": "ping"}))
    for index, block in enumerate(answer.blocks):
        yield from _block_events(index, block, piece_tokens)
    delta = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}
    end = {"type": "message_delta", "delta": delta, "usage": answer.usage}
    yield Event(encode_event("message_delta", end))
    yield Event(encode_event("message_stop", {"type": "message_stop"}))


def _block_events(index: int, block: Block, piece_tokens: int | None) -> Iterator[Event]:
    opening = {"type": "content_block_start", "index": index, "content_block": block.opening()}
    yield Event(encode_event("content_block_start", opening))
    for piece in _pieces(block.content, piece_tokens):
        yield Event(_encode_delta(index, block.delta(piece)), tokens.count(piece))
    for delta in block.closing_deltas():
        yield Event(_encode_delta(index, delta))
    yield Event(encode_event("content_block_stop", {"type": "content_block_stop", "index": index}))


def _encode_delta(index: int, delta: dict[str, Any]) -> bytes:
    return encode_event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _pieces(text: str, piece_tokens: int | None) -> Iterator[str]:
    if piece_tokens is None:
        size = max(PIECE_CHARACTERS, -(-len(text) // PIECES_OF_LONG_BLOCK))
        # Whole tokens, so that the deltas' tokens add up to the block's.
        size += -size % tokens.CHARACTERS_PER_TOKEN
    else:
        size = piece_tokens * tokens.CHARACTERS_PER_TOKEN
    return (text[start : start + size] for start in range(0, len(text), size))


def _envelope(answer: Answer) -> dict[str, Any]:
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model}


def _compact(value: dict[str, Any]) -> bytes:
    # Half of a surrogate pair has no UTF-8; as JSON's own escape it can be sent.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
