"""The events of a Messages API stream, folded into an `Answer`. No I/O: plain values in, an answer or a failure out.

A stream that ends in good order is no proof of a whole answer: `message_stop` and a known stop reason are required, and what
a thing is is told by its `type`. What has none that is known is left aside, as Anthropic asks clients to.
Source: Anthropic's reference, "Streaming messages".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.messages.answer import STOP_REASONS, Answer, CallDelta, Characters, TextDelta, ToolCall, whole
from app.messages.failure import FailureKind, TurnFailed
from app.ways import Way
from workers.messages_api.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.messages.answer import Delta

#: all that a stream may say, characters: as much as Claude's process may
MAX_CHARACTERS = 128 * 1024 * 1024
#: of an unknown stop reason, characters
_MAX_REASON = 100
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


@dataclass
class _Block:
    """One content block as its deltas build it."""

    type: str
    id: str
    name: str
    #: of a tool: what it began with, which is all there is when no JSON follows
    input: Any
    pieces: list[str] = field(default_factory=list)
    characters: Characters = field(default_factory=Characters)

    @property
    def text(self) -> str:
        """Its text, or its input's JSON."""
        return "".join(self.pieces)


class Reading:
    """One answer while it comes. Feed it the data of each event; `answer()` when the stream has ended."""

    def __init__(self, on_delta: Callable[[Delta], None] | None, value_tool: str | None) -> None:
        """`value_tool`: name of the tool whose input is the wanted value."""
        self.started = time.monotonic()
        #: the API's, for people who ask Anthropic
        self.request_id = ""
        #: whether `message_stop` has come: nothing that follows it matters
        self.is_ended = False
        self._on_delta = on_delta
        self._value_tool = value_tool
        self._characters = 0
        self._message: Mapping[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._first_text: float | None = None

    def take(self, data: str) -> bool:
        """The next event. Whether it was the last.

        Raises `TurnFailed` for an error, or too much; `ValueError`, `LookupError`, `TypeError` and `AttributeError` for what is no event.
        """
        self._characters += len(data)
        if self._characters > MAX_CHARACTERS:
            raise self.failed(FailureKind.SERVER, "Claude's answer is larger than any answer can be.")
        event = json.loads(data)
        match event["type"]:
            case "error":
                raise failure_of(200, event, {}, usage=self.usage)
            case "message_start":
                self._message = event["message"]
                self._usage = dict(self._message.get("usage") or {})
            case "content_block_start":
                self._begin(event["index"], event["content_block"])
            case "content_block_delta":
                delta = event["delta"]
                if name := _TEXTS.get(delta["type"]):
                    block = self._blocks[event["index"]]
                    self._add(block, block.characters.add(delta[name]))
            case "content_block_stop":
                block = self._blocks[event["index"]]
                self._add(block, block.characters.end())
            case "message_delta":
                delta = event.get("delta") or {}
                self._stop_reason = delta.get("stop_reason") or self._stop_reason
                self._stop_sequence = delta.get("stop_sequence") or self._stop_sequence
                # They replace those of the start, and are never added to them.
                self._usage.update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
            case "message_stop":
                self.is_ended = True
        return self.is_ended

    def answer(self) -> Answer:
        """The whole answer. Raises `TurnFailed`."""
        if not self._message or not self.is_ended or self._stop_reason is None:
            raise self.failed(FailureKind.SERVER, "Claude's answer ended before its end.")
        if self._stop_reason not in STOP_REASONS:
            reason = whole(self._stop_reason)[:_MAX_REASON]
            raise self.failed(FailureKind.UNKNOWN_END, f"Claude ended its answer with the unknown reason '{reason}'.")
        calls = [_as_call(block) for _, block in sorted(self._blocks.items()) if block.type == "tool_use"]
        own = tuple(call for call in calls if call.name != self._value_tool)
        return Answer(
            text=self._text("text"),
            stop_reason="end_turn" if self._stop_reason == "tool_use" and not own else self._stop_reason,
            model=str(self._message["model"]),
            usage=self._usage,
            cost_usd=None,  # the engine's to say
            value_calls=tuple(call for call in calls if call.name == self._value_tool),
            tool_calls=own,
            first_token_seconds=self._first_text and self._first_text - self.started,
            duration_seconds=time.monotonic() - self.started,
            message_ids=(str(self._message["id"]),),
            thinking=self._text("thinking"),
            stop_sequence=self._stop_sequence,
            way=Way.API,
        )

    @property
    def usage(self) -> dict[str, Any] | None:
        """What was reported so far."""
        return self._usage or None

    def failed(self, kind: FailureKind, words: str) -> TurnFailed:
        """A failure with what was used so far."""
        return TurnFailed(kind, words, usage=self.usage)

    def _begin(self, index: int, begun: Mapping[str, Any]) -> None:
        block = _Block(begun["type"], str(begun.get("id", "")), str(begun.get("name", "")), begun.get("input"))
        self._blocks[index] = block
        if self._is_call(block):
            self._emit_call(block, "", is_begin=True)
        elif text := begun.get("text") or begun.get("thinking"):
            self._add(block, block.characters.add(text))

    def _add(self, block: _Block, piece: str) -> None:
        if not piece:
            return
        block.pieces.append(piece)
        if self._is_call(block):
            self._emit_call(block, piece)
        elif block.type == "text":
            self._first_text = self._first_text or time.monotonic()
            if self._on_delta is not None:
                self._on_delta(TextDelta(piece, str(self._message["model"])))

    def _text(self, kind: str) -> str:
        return "".join(block.text for _, block in sorted(self._blocks.items()) if block.type == kind)

    def _is_call(self, block: _Block) -> bool:
        return block.type == "tool_use" and block.name != self._value_tool

    def _emit_call(self, block: _Block, arguments: str, *, is_begin: bool = False) -> None:
        if self._on_delta is not None:
            index = sum(self._is_call(one) for one in self._blocks.values()) - 1
            model = str(self._message["model"])
            self._on_delta(CallDelta(index, block.id, block.name, is_begin, arguments, model))


def _as_call(block: _Block) -> ToolCall:
    text = block.text
    try:
        value = json.loads(text) if text else block.input or {}
    except ValueError:
        # Cut in the middle: the client gets what there is.
        value = text
    return ToolCall(block.id, block.name, value, text or "{}")
