"""Shapes the events of a streamed response. No I/O: deltas and a response object in, server-sent events out.

Events are numbered. A stream that can be taken up again (a background response's) counts characters: a delta has the number
of its last one. So all readings of it agree on what a number stands for, however the text was cut into pieces.
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
        self._text = Sent()
        self._has_message = False
        self._is_in_progress = False
        self.have_begun = False

    def opening(self) -> Iterator[bytes]:
        """That the response is there, and what it is doing."""
        if not self._is_background:
            yield from self._event("response.created", response=self._state(status="in_progress"))
            yield from self._begin(None)
            return
        for name in ("response.created", "response.queued"):
            yield from self._event(name, response=self._state(status="queued"))

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """The events of one piece as the worker tells it; of calls there are none before they are whole."""
        text = piece["delta"].get("content")
        if not text:
            return
        self.have_begun = True
        yield from self._begin(piece.get("model"))
        yield from self._begin_message()
        self._text.add(text)
        yield from self._text_delta(text)

    def end(self, body: dict[str, Any]) -> Iterator[bytes]:
        """What the response has beyond the pieces so far, and the end. Raises `ErrorReply` when they are not of it."""
        yield from self._begin(body["model"])
        output = body["output"]
        if self._has_message and not (output and output[0]["type"] == "message"):
            raise errors.stream_interrupted("what was sent is not how the answer begins")
        for index, item in enumerate(output):
            if item["type"] == "message":
                yield from self._message(index, item)
            else:
                yield from self._call(index, item)
        yield from self._event(f"response.{body['status']}", response=body)

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:
        """`response.failed` when the response itself has; `error` when it is only this stream that ends."""
        if has_ended:
            return self._shaped("response.failed", self._next, {"response": self._failed(error)})
        known = as_chat.in_its_words(error).body()["error"]
        fields = {"code": known["code"] or known["type"], "message": known["message"], "param": known["param"]}
        return self._shaped("error", self._next, fields)

    def _begin(self, model: str | None) -> Iterator[bytes]:
        if not self._is_in_progress:
            self._is_in_progress = True
            known = {"model": model} if model else {}
            yield from self._event("response.in_progress", response=self._state(status="in_progress", **known))

    def _begin_message(self) -> Iterator[bytes]:
        if not self._has_message:
            self._has_message = True
            item = objects.message_item(self._id, "in_progress")
            yield from self._event("response.output_item.added", output_index=0, item=item)
            yield from self._part_event("added", 0, item["id"], objects.text_part(""))

    def _message(self, index: int, item: dict[str, Any]) -> Iterator[bytes]:
        part = item["content"][0]
        where = {"item_id": item["id"], "output_index": index, "content_index": 0}
        if part["type"] == "output_text":
            yield from self._begin_message()
            yield from self._text_delta(self._text.rest_of(part["text"]))
            yield from self._event("response.output_text.done", **where, text=part["text"], logprobs=[])
        else:
            # Text that came before a refusal stays with the client, as a part of its own.
            where["content_index"] = int(self._has_message)
            if not self._has_message:
                begun = objects.message_item(self._id, "in_progress")
                yield from self._event("response.output_item.added", output_index=index, item=begun)
            yield from self._part_event("added", where["content_index"], item["id"], {"type": "refusal", "refusal": ""})
            yield from self._delta("response.refusal.delta", part["refusal"], **where)
            yield from self._event("response.refusal.done", **where, refusal=part["refusal"])
        yield from self._part_event("done", where["content_index"], item["id"], part)
        yield from self._event("response.output_item.done", output_index=index, item=item)

    def _call(self, index: int, item: dict[str, Any]) -> Iterator[bytes]:
        where = {"item_id": item["id"], "output_index": index}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield from self._event("response.output_item.added", output_index=index, item=begun)
        yield from self._delta("response.function_call_arguments.delta", item["arguments"], **where)
        yield from self._event(
            "response.function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"]
        )
        yield from self._event("response.output_item.done", output_index=index, item=item)

    def _part_event(self, what: str, content_index: int, item_id: str, part: dict[str, Any]) -> Iterator[bytes]:
        where = {"item_id": item_id, "output_index": 0, "content_index": content_index}
        return self._event(f"response.content_part.{what}", **where, part=part)

    def _text_delta(self, text: str) -> Iterator[bytes]:
        where = {"item_id": objects.message_item(self._id, "")["id"], "output_index": 0, "content_index": 0}
        return self._delta("response.output_text.delta", text, **where, logprobs=[])

    def _delta(self, name: str, text: str, **fields: Any) -> Iterator[bytes]:
        if not text:
            return
        begins_at = self._next
        self._next += len(text) if self._is_background else 1
        if self._next - 1 > self._after:
            unread = text[max(0, self._after + 1 - begins_at) :]
            yield self._shaped(name, self._next - 1, {**fields, "delta": unread})

    def _event(self, event: str, /, **fields: Any) -> Iterator[bytes]:
        number = self._next
        self._next += 1
        if number > self._after:
            yield self._shaped(event, number, fields)

    @staticmethod
    def _shaped(name: str, number: int, fields: dict[str, Any]) -> bytes:
        body = {"type": name, "sequence_number": number, **fields}
        return f"event: {name}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
