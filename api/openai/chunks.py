"""Shapes the chunks of OpenAI's streams, of chat and of text completions. No I/O: deltas and an outcome in, server-sent events out.

All JSON here is ASCII: clients exist that take U+2028 for the end of a line.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

from app import errors
from app.openai.text_completions import KIND, text_choice

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


class _Completion:
    """The chunks of one completion. `model` is what the client asked for, until it is known who answers."""

    kind: ClassVar[str]

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._head = {"id": completion_id, "object": self.kind, "created": created, "model": model}
        self._include_usage = include_usage
        self._content = Sent()
        self.has_started = False

    def opening(self) -> Iterator[bytes]:
        """Nothing: a chunk names the model that answers."""
        return iter(())

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:  # noqa: ARG002 - the same event either way
        """The last event of a stream that fails."""
        return error_event(error)

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """The chunks of one piece as the worker emits it (`app.jobs.deltas`)."""
        yield from self._begin(piece.get("model"))
        yield from self._delta(piece["delta"])

    def end(self, completion: dict[str, Any]) -> Iterator[bytes]:
        """What the completion has beyond the pieces so far, and the end. Raises `ErrorReply` when they are not of it."""
        yield from self._begin(completion["model"])
        yield from self._rest(completion["choices"][0])
        if self._include_usage:
            yield event({**self._head, "choices": [], "usage": completion["usage"]})
        yield DONE

    def _begin(self, model: str | None) -> Iterator[bytes]:
        if not self.has_started:
            self.has_started = True
            self._head["model"] = model or self._head["model"]
            yield from self._first()

    def _event(self, choice: dict[str, Any]) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return event({**self._head, "choices": [choice], **usage})

    def _first(self) -> Iterator[bytes]:
        """What precedes the first piece."""
        raise NotImplementedError

    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        """The chunks of a piece."""
        raise NotImplementedError

    def _rest(self, choice: dict[str, Any]) -> Iterator[bytes]:
        """Those of the whole choice beyond the pieces so far, with its finish reason."""
        raise NotImplementedError


class Chunks(_Completion):
    """Those of a chat completion."""

    kind = "chat.completion.chunk"

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool) -> None:
        super().__init__(completion_id, created, model, include_usage=include_usage)
        #: the arguments of the tool calls, by index
        self._arguments: dict[int, Sent] = {}

    def _first(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        self._content.add(delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            sent = self._arguments.setdefault(call["index"], Sent())
            sent.add((call.get("function") or {}).get("arguments") or "")
        yield self._chunk(delta)

    def _rest(self, choice: dict[str, Any]) -> Iterator[bytes]:
        for delta in self._missing(choice["message"]):
            yield self._chunk(delta)
        yield self._chunk({}, choice["finish_reason"])

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
        return self._event({"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason})


class TextChunks(_Completion):
    """Those of a text completion. `echo`: the prompt, if it is to precede the text."""

    kind = KIND

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool, echo: str = "") -> None:
        super().__init__(completion_id, created, model, include_usage=include_usage)
        self._echo = echo

    def _first(self) -> Iterator[bytes]:
        return self._text(self._echo)

    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        return self._text(delta.get("content") or "")

    def _rest(self, choice: dict[str, Any]) -> Iterator[bytes]:
        if choice["finish_reason"] != "content_filter":
            # Text that came before a refusal stays with the client; the completion as stored has none.
            yield from self._text(self._content.rest_of(choice["text"]))
        yield self._event(text_choice("", choice["finish_reason"]))

    def _text(self, text: str) -> Iterator[bytes]:
        if text:
            self._content.add(text)
            yield self._event(text_choice(text, None))


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
