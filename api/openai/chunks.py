"""Shapes the chunks of OpenAI's stream. No I/O: deltas and an outcome in, server-sent events out.

All JSON here is ASCII: clients exist that take U+2028 for the end of a line.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from app import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.errors import ErrorReply

#: a comment, which belongs to the event that follows
KEEP_ALIVE = b": keep-alive\n"
DONE = b"data: [DONE]\n\n"


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: ErrorReply) -> bytes:
    """An error in mid-stream: what OpenAI's clients raise from. Nothing follows it, `[DONE]` neither."""
    return event(error.body())


def trailers(headers: Mapping[str, str]) -> bytes:
    """Comments that precede the last event: what is known of an answer at its end, and is a header of one that is not streamed."""
    return "".join(f": {name}: {value}\n" for name, value in headers.items()).encode()


class Chunks:
    """The chunks of one chat completion. `model` is what the client asked for, until it is known who answers."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._include_usage = include_usage
        self._content = Sent()
        #: the arguments of the tool calls, by index
        self._arguments: dict[int, Sent] = {}
        self.have_begun = False

    def opening(self) -> Iterator[bytes]:
        """Nothing: a chunk names the model that answers."""
        return iter(())

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:  # noqa: ARG002 - the same event either way
        """The last event of a stream that fails."""
        return error_event(error)

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """The chunks of one piece as the worker tells it (`app.jobs.deltas`)."""
        delta = piece["delta"]
        yield from self._begin(piece.get("model"))
        self._content.add(delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            sent = self._arguments.setdefault(call["index"], Sent())
            sent.add((call.get("function") or {}).get("arguments") or "")
        yield self._chunk(delta)

    def end(self, completion: dict[str, Any]) -> Iterator[bytes]:
        """What the completion has beyond the pieces so far, and the end. Raises `ErrorReply` when they are not of it."""
        choice = completion["choices"][0]
        yield from self._begin(completion["model"])
        for delta in self._missing(choice["message"]):
            yield self._chunk(delta)
        yield self._chunk({}, choice["finish_reason"])
        if self._include_usage:
            yield event({**self._head, "choices": [], "usage": completion["usage"]})
        yield DONE

    def _begin(self, model: str | None) -> Iterator[bytes]:
        if not self.have_begun:
            self.have_begun = True
            self._head["model"] = model or self._head["model"]
            yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _missing(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if message.get("refusal"):
            # Text that came before a refusal stays with the client; the message as stored has none.
            yield {"refusal": message["refusal"]}
        elif rest := self._content.rest_of(message.get("content") or ""):
            yield {"content": rest}
        for index, call in enumerate(message.get("tool_calls") or ()):
            sent = self._arguments.get(index)
            arguments = call["function"]["arguments"]
            if sent is None:
                yield {"tool_calls": [{"index": index, **call}]}
            elif rest := sent.rest_of(arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": rest}}]}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return event({**self._head, "choices": [choice], **usage})


class Sent:
    """How much of a text was sent, without keeping it: hundreds of streams are open at once."""

    def __init__(self) -> None:
        self._length = 0
        self._sum = 0

    def add(self, text: str) -> None:
        """So much more was."""
        self._length += len(text)
        self._sum = zlib.crc32(_bytes(text), self._sum)

    def rest_of(self, text: str) -> str:
        """What follows. Raises `ErrorReply` when what was sent is not this text's beginning."""
        if len(text) < self._length or zlib.crc32(_bytes(text[: self._length])) != self._sum:
            raise errors.stream_interrupted("what was sent is not how the answer begins")
        return text[self._length :]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
