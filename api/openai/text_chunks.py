"""Shapes the chunks of a text completion's stream. No I/O: pieces and an outcome in, server-sent events out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.openai.chunks import DONE, Sent, error_event, event
from app.openai.completions.as_chat import KIND, text_choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.errors import ErrorReply


class TextChunks:
    """The chunks of one text completion. `echo`: the prompt, if it is to stand before the text."""

    def __init__(self, completion_id: str, created: int, model: str, *, include_usage: bool, echo: str = "") -> None:
        self._head = {"id": completion_id, "object": KIND, "created": created, "model": model}
        self._include_usage = include_usage
        self._echo = echo
        self._sent = Sent()
        self.have_begun = False

    def opening(self) -> Iterator[bytes]:
        """Nothing: a chunk names the model that answers."""
        return iter(())

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:  # noqa: ARG002 - the same event either way
        """The last event of a stream that fails."""
        return error_event(error)

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """The chunks of one piece as the worker tells it (`app.jobs.deltas`)."""
        yield from self._begin(piece.get("model"))
        yield from self._text(piece["delta"].get("content") or "")

    def end(self, completion: dict[str, Any]) -> Iterator[bytes]:
        """What the completion has beyond the pieces so far, and the end. Raises `ErrorReply` when they are not of it."""
        choice = completion["choices"][0]
        yield from self._begin(completion["model"])
        if choice["finish_reason"] != "content_filter":
            # Text that came before a refusal stays with the client; the completion as stored has none.
            yield from self._text(self._sent.rest_of(choice["text"]))
        yield self._chunk("", choice["finish_reason"])
        if self._include_usage:
            yield event({**self._head, "choices": [], "usage": completion["usage"]})
        yield DONE

    def _begin(self, model: str | None) -> Iterator[bytes]:
        if not self.have_begun:
            self.have_begun = True
            self._head["model"] = model or self._head["model"]
            yield from self._text(self._echo)

    def _text(self, text: str) -> Iterator[bytes]:
        if text:
            self._sent.add(text)
            yield self._chunk(text)

    def _chunk(self, text: str, finish_reason: str | None = None) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return event({**self._head, "choices": [text_choice(text, finish_reason)], **usage})
