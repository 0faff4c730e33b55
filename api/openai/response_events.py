"""Shapes the events of a streamed response. No I/O: deltas and a response object in, server-sent events out.

Events are numbered. A stream that can be taken up again (a background response's) counts characters: a delta has the number
of its last one. So all readings agree on what a number means, however the text was cut into pieces.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from api.openai.chunks import Sent
from app import errors
from app.openai.responses import as_chat, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.errors import ErrorReply


class _Open:
    """The item that is being sent."""

    def __init__(self, item: dict[str, Any], index: int) -> None:
        self.item = item
        self.where = {"item_id": item["id"], "output_index": index}
        self.sent = Sent()
        self.pieces: list[str] = []

    def add(self, text: str) -> None:
        self.sent.add(text)
        self.pieces.append(text)

    def whole(self) -> dict[str, Any]:
        """The item, if all of it was sent."""
        text = "".join(self.pieces)
        if self.item["type"] == "message":
            return {**self.item, "status": "completed", "content": [objects.text_part(text)]}
        return {**self.item, "status": "completed", "arguments": text}


class ResponseEvents:
    """The events of one response. `state` gives the response object as far as it is known; `failed` the one that failed."""

    def __init__(
        self,
        response_id: str,
        state: Callable[..., dict[str, Any]],
        failed: Callable[[ErrorReply], dict[str, Any]],
        *,
        is_background: bool,
        after: int = -1,
    ) -> None:
        self._id = response_id
        self._state = state
        self._failed = failed
        self._is_background = is_background
        #: the number of the last event that the client has
        self._after = after
        self._next = 0
        self._is_in_progress = False
        #: how many items have been opened; all but the open one have been sent to their end
        self._opened = 0
        self._open: _Open | None = None
        self._has_message = False
        #: pieces are left to the outcome: they do not come in the order of the response's items
        self._is_quiet = False
        self.has_started = False

    def opening(self) -> Iterator[bytes]:
        """That the response is there, and what it is doing."""
        if not self._is_background:
            yield from self._event("response.created", response=self._state(status="in_progress"))
            yield from self._begin(None)
            return
        for name in ("response.created", "response.queued"):
            yield from self._event(name, response=self._state(status="queued"))

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """The events of one piece as the worker emits it."""
        delta = piece["delta"]
        self.has_started = True
        yield from self._begin(piece.get("model"))
        if delta.get("content") and not self._is_quiet:
            yield from self._text_piece(delta["content"])
        for call in delta.get("tool_calls") or ():
            if not self._is_quiet:
                yield from self._call_piece(call)

    def end(self, body: dict[str, Any]) -> Iterator[bytes]:
        """What the response has beyond the pieces so far, and the end. Raises `ErrorReply` when they are not of it."""
        yield from self._begin(body["model"])
        output = body["output"]
        begins_with_message = bool(output) and output[0]["type"] == "message"
        if self._opened > len(output) or (self._opened and self._has_message != begins_with_message):
            raise errors.stream_interrupted("what was sent is not how the answer begins")
        sent = self._opened - (self._open is not None)
        for item in output[sent:]:
            yield from self._rest_of(item)
        yield from self._event(f"response.{body['status']}", response=body)

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:
        """`response.failed` when the response itself has; `error` when it is only this stream that ends."""
        if has_ended:
            return self._shaped("response.failed", self._next, {"response": self._failed(error)})
        known = as_chat.in_its_words(error).body()["error"]
        fields = {"code": known["code"] or known["type"], "message": known["message"], "param": known["param"]}
        return self._shaped("error", self._next, fields)

    # -- what comes piece by piece ---------------------------------------------------------------------------------

    def _begin(self, model: str | None) -> Iterator[bytes]:
        if not self._is_in_progress:
            self._is_in_progress = True
            known = {"model": model} if model else {}
            yield from self._event("response.in_progress", response=self._state(status="in_progress", **known))

    def _text_piece(self, text: str) -> Iterator[bytes]:
        if not self._opened:
            yield from self._begin_item(objects.message_item(self._id, "in_progress"), objects.text_part(""))
        if self._open is not None and self._open.item["type"] == "message":
            yield from self._more(self._open, text)
        else:
            self._is_quiet = True

    def _call_piece(self, call: dict[str, Any]) -> Iterator[bytes]:
        index = call["index"] + self._has_message
        if index == self._opened and "id" in call:
            if self._open is not None:
                yield from self._end_item(self._open, self._open.whole())
            empty = {**call, "function": {**call["function"], "arguments": ""}}
            yield from self._begin_item(objects.call_item(self._id, call["index"], empty, "in_progress"))
        if self._open is not None and index == self._opened - 1:
            yield from self._more(self._open, (call.get("function") or {}).get("arguments") or "")
        else:
            self._is_quiet = True

    # -- one item --------------------------------------------------------------------------------------------------

    def _rest_of(self, item: dict[str, Any]) -> Iterator[bytes]:
        part = item["content"][0] if item["type"] == "message" else None
        if self._open is None:
            nothing: dict[str, Any] = {"content": []} if part else {"arguments": ""}
            empty = {**item, "status": "in_progress", **nothing}
            kind = part and part["type"].removeprefix("output_")
            yield from self._begin_item(empty, {**part, kind: ""} if part and kind else None)
        current = self._open
        if current is None:
            return
        if part is not None and part["type"] == "refusal":
            yield from self._refusal(current, part)
        else:
            yield from self._more(current, current.sent.rest_of(part["text"] if part else item["arguments"]))
        yield from self._end_item(current, item)

    def _begin_item(self, item: dict[str, Any], part: dict[str, Any] | None = None) -> Iterator[bytes]:
        self._open = _Open(item, self._opened)
        self._opened += 1
        yield from self._event("response.output_item.added", output_index=self._opened - 1, item=item)
        if part is not None:
            self._has_message = True
            yield from self._event("response.content_part.added", **self._open.where, content_index=0, part=part)

    def _more(self, current: _Open, text: str) -> Iterator[bytes]:
        current.add(text)
        if current.item["type"] == "message":
            yield from self._delta("response.output_text.delta", text, **current.where, content_index=0, logprobs=[])
        else:
            yield from self._delta("response.function_call_arguments.delta", text, **current.where)

    def _refusal(self, current: _Open, part: dict[str, Any]) -> Iterator[bytes]:
        """Text that came before a refusal stays with the client, as a part of its own."""
        where = {**current.where, "content_index": int(bool(current.pieces))}
        if current.pieces:
            yield from self._event("response.content_part.added", **where, part={**part, "refusal": ""})
        yield from self._delta("response.refusal.delta", part["refusal"], **where)
        yield from self._event("response.refusal.done", **where, refusal=part["refusal"])
        yield from self._event("response.content_part.done", **where, part=part)

    def _end_item(self, current: _Open, item: dict[str, Any]) -> Iterator[bytes]:
        self._open = None
        where = current.where
        if item["type"] != "message":
            call = {"name": item["name"], "arguments": item["arguments"]}
            yield from self._event("response.function_call_arguments.done", **where, **call)
        elif (part := item["content"][0])["type"] == "output_text":
            at = {**where, "content_index": 0}
            yield from self._event("response.output_text.done", **at, text=part["text"], logprobs=[])
            yield from self._event("response.content_part.done", **at, part=part)
        yield from self._event("response.output_item.done", output_index=where["output_index"], item=item)

    # -- one event -------------------------------------------------------------------------------------------------

    def _delta(self, event: str, text: str, /, **fields: Any) -> Iterator[bytes]:
        if not text:
            return
        begins_at = self._next
        self._next += len(text) if self._is_background else 1
        if self._next - 1 > self._after:
            unread = text[max(0, self._after + 1 - begins_at) :]
            yield self._shaped(event, self._next - 1, {**fields, "delta": unread})

    def _event(self, event: str, /, **fields: Any) -> Iterator[bytes]:
        number = self._next
        self._next += 1
        if number > self._after:
            yield self._shaped(event, number, fields)

    @staticmethod
    def _shaped(name: str, number: int, fields: dict[str, Any]) -> bytes:
        body = {"type": name, "sequence_number": number, **fields}
        return f"event: {name}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
