"""One turn, folded from what the CLI says while it runs. No I/O, no SDK: plain values in, an `Answer` or a failure out.

Why `is_cut`: when the model stops for `max_tokens`, refuses, or says nothing, the CLI goes on by itself with a hidden
prompt, up to three times, each a billed request. An interrupt comes too late in half of the cases (measured), so the
process has to be ended at that very event; by then the whole answer and its usage have been seen. On a busy machine even
that comes too late now and then. Hence `may_be_cut`: what can be seen before the end.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.messages.answer import STOP_REASONS, Answer, CallDelta, Characters, TextDelta, ToolCall, add_usage, whole
from app.messages.failure import FailureKind, TurnFailed
from workers.claude.failures import ApiError, UsageLimit, classify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.messages.answer import Delta

#: Stop reasons at which the CLI would ask the model again, unasked.
CONTINUED_REASONS = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
#: Messages of the API that a turn may have where a value is wanted. A model that calls what it was not offered is asked
#: again by the CLI at once and without end, each time a billed request; it sends back a value at most five times.
MAX_MESSAGES = 7
#: Tokens that an answer may take besides those of its text: the frame of a call, its name.
FRAME_TOKENS = 64
#: What the CLI puts before the names of the caller's functions: `mcp__<server>__`.
TOOL_PREFIX = "mcp__client__"
#: The CLI's own tool, by which a structured answer comes.
SCHEMA_TOOL = "StructuredOutput"
#: How much of an unknown stop reason is shown, characters.
MAX_REASON = 100
#: Model of the messages that the CLI writes itself.
SYNTHETIC_MODEL = "<synthetic>"
#: Where the events that carry text have it.
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_DELTAS = {"thinking": "thinking_delta", "tool_use": "input_json_delta"}


@dataclass(frozen=True)
class TurnResult:
    """The CLI's `result` message, reduced to what is believed."""

    is_error: bool
    status: int | None
    subtype: str
    text: str
    #: of all turns of the process
    cost_usd: float | None
    #: it is made of prices that the CLI knows; it invents others
    is_at_list_prices: bool = True


@dataclass
class _Message:
    """One API message as its events build it."""

    id: str
    model: str
    usage: dict[str, Any]
    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    stop_reason: str | None = None
    stop_sequence: str | None = None

    def text(self, kind: str = "text") -> str:
        return "".join(b["text"] for _, b in sorted(self.blocks.items()) if b["type"] == kind)


class Turn:
    """The state of one turn. Its owner feeds it events and asks it for `answer()` or `failure()`."""

    def __init__(
        self,
        uuid: str,
        on_delta: Callable[[Delta], None] | None,
        *,
        may_call_again: bool,
        max_tokens: int | None = None,
    ) -> None:
        """`max_tokens`: the answer's, where its client limits them."""
        self.uuid = uuid
        self.started = time.monotonic()
        #: monotonic time of the latest sign of life
        self.last_event = self.started
        self.result: TurnResult | None = None
        #: the CLI is about to ask the model again on its own
        self.is_cut = False
        #: the CLI asked again although nothing called for it, or too often; nothing of this turn is to be believed
        self.is_repeated = False
        self._on_delta = on_delta
        self._may_call_again = may_call_again
        self._max_tokens = max_tokens
        self._written_bytes = 0
        self._has_thought = False
        self._messages: list[_Message] = []
        #: of the block that is being written
        self._characters = Characters()
        self._is_empty = False
        self._error: str | None = None
        self._error_text = ""
        self._first_text: float | None = None

    @property
    def may_be_cut(self) -> bool:
        """Whether the answer might soon end so: it nears its client's limit, or has prose where a value is wanted."""
        if not self._messages:
            return False
        if self._may_call_again and self._first_text is not None:
            return True
        # A token is a byte at least, and usually four; of what a model thought only a summary may come.
        least = 2 * self._written_bytes + FRAME_TOKENS
        return self._max_tokens is not None and (self._has_thought or least >= self._max_tokens)

    def on_stream_event(self, event: Mapping[str, Any]) -> None:
        """Take one event of the Messages API's stream. After the cut there are none: they are the hidden request's."""
        if self.is_cut:
            return
        kind = event["type"]
        if kind == "message_start":
            self._start(event["message"])
        elif not self._messages:
            return
        elif kind == "content_block_start":
            block = event["content_block"]
            self._has_thought |= "thinking" in block["type"]
            self._characters = Characters()
            text = self._characters.add(block.get("text") or block.get("thinking") or "")
            begun = {**block, "text": text, "input_json": ""}
            self._messages[-1].blocks[event["index"]] = begun
            self._emit_call(begun, "", is_begin=True)
        elif kind == "content_block_delta":
            delta = event["delta"]
            name = _TEXTS.get(delta["type"])
            if name is not None:
                self._add(event["index"], delta["type"], self._characters.add(delta[name]))
        elif kind == "content_block_stop":
            self._end_block(event["index"])
        elif kind == "message_delta":
            self._end(event)

    def on_error(self, error: str | None, text: str) -> None:
        """Take a synthetic assistant message: the CLI's own words about an error."""
        self._error, self._error_text = error or self._error, whole(text)

    def _start(self, message: Mapping[str, Any]) -> None:
        if len(self._messages) >= (MAX_MESSAGES if self._may_call_again else 1):
            self.is_repeated = True
        usage = dict(message.get("usage") or {})
        self._messages.append(_Message(str(message.get("id", "")), str(message.get("model", "")), usage))

    def _end_block(self, index: int) -> None:
        rest = self._characters.end()
        block = self._messages[-1].blocks.get(index)
        if rest and block is not None:
            self._add(index, _DELTAS.get(block["type"], "text_delta"), rest)

    def _add(self, index: int, kind: str, text: str) -> None:
        self._written_bytes += len(text.encode())
        block = self._messages[-1].blocks.setdefault(index, {"type": "text", "text": "", "input_json": ""})
        if kind == "input_json_delta":
            block["input_json"] += text
            self._emit_call(block, text)
            return
        block["text"] += text
        if kind == "text_delta":
            if self._first_text is None:
                self._first_text = time.monotonic()
            if self._on_delta is not None:
                self._on_delta(TextDelta(text, self._messages[-1].model))

    def _emit_call(self, block: Mapping[str, Any], arguments: str, *, is_begin: bool = False) -> None:
        if self._on_delta is None or not _is_call(block) or not (arguments or is_begin):
            return
        message = self._messages[-1]
        index = sum(_is_call(b) for b in message.blocks.values()) - 1
        name = str(block["name"]).removeprefix(TOOL_PREFIX)
        self._on_delta(CallDelta(index, str(block["id"]), name, is_begin, arguments, message.model))

    def _end(self, event: Mapping[str, Any]) -> None:
        message = self._messages[-1]
        delta = event.get("delta") or {}
        message.stop_reason = delta.get("stop_reason") or message.stop_reason
        message.stop_sequence = delta.get("stop_sequence") or message.stop_sequence
        message.usage.update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
        if message.stop_reason is None:
            return
        has_tool = any(block["type"] == "tool_use" for block in message.blocks.values())
        # After a tool call an empty message is how a structured answer ends.
        is_first = len(self._messages) == 1
        self._is_empty = is_first and not has_tool and not message.text().strip()
        # Where a value is wanted, the CLI asks again for it after any answer that is none.
        is_nagged = is_first and self._may_call_again and message.stop_reason != "tool_use"
        self.is_cut = message.stop_reason in CONTINUED_REASONS or self._is_empty or is_nagged

    def usage(self) -> dict[str, Any]:
        """What the API reported; the numbers of several messages are added up."""
        total: dict[str, Any] = {}
        for message in self._messages:
            total = add_usage(total, message.usage) if total else dict(message.usage)
        return total

    def answer(self, cost_usd: float | None) -> Answer:
        """The answer. Raises `TurnFailed` when what came is none."""
        if self.is_repeated or not self._messages:
            raise self.failed(FailureKind.SERVER, "Claude's answer did not come in one piece.")
        message = self._messages[-1]
        if message.stop_reason is None:
            raise self.failed(FailureKind.SERVER, "Claude's answer ended before its end.")
        if message.stop_reason not in STOP_REASONS:
            reason = whole(message.stop_reason)[:MAX_REASON]
            raise self.failed(FailureKind.UNKNOWN_END, f"Claude ended its answer with the unknown reason '{reason}'.")
        calls = _tool_calls(message)
        reason = message.stop_reason
        if reason == "tool_use" and not calls:
            # The tool was the CLI's own, by which a structured answer comes.
            reason = "end_turn"
        return Answer(
            text=message.text(),
            stop_reason=reason,
            model=message.model,
            usage=self.usage(),
            cost_usd=cost_usd,
            value_calls=self._value_calls(),
            tool_calls=calls,
            first_token_seconds=self._first_text and self._first_text - self.started,
            duration_seconds=time.monotonic() - self.started,
            message_ids=tuple(m.id for m in self._messages),
            thinking=message.text("thinking"),
            stop_sequence=message.stop_sequence,
        )

    def failure(self, limit: UsageLimit | None, *, limit_is_new: bool) -> TurnFailed | None:
        """The failure that the result reports, or None when it is an answer."""
        result = self.result
        if result is None or (not result.is_error and self._error is None):
            return None
        if result.subtype == "error_during_execution" and self._error is None and self._has_tool_calls():
            return None
        text = self._error_text or whole(result.text) or result.subtype
        failed = classify(ApiError(result.status, self._error, text, limit, limit_is_new))
        failed.usage = self.usage() or None
        return failed

    def failed(self, kind: FailureKind, message: str) -> TurnFailed:
        """A failure of this turn, with what it used so far."""
        return TurnFailed(kind, message, usage=self.usage() or None)

    def _value_calls(self) -> tuple[ToolCall, ...]:
        """The calls by which the structured answer came last."""
        for message in reversed(self._messages):
            blocks = [b for _, b in sorted(message.blocks.items()) if b.get("name") == SCHEMA_TOOL]
            if blocks:
                return tuple(_as_call(block, SCHEMA_TOOL) for block in blocks)
        return ()

    def _has_tool_calls(self) -> bool:
        return bool(self._messages) and bool(_tool_calls(self._messages[-1]))


def _tool_calls(message: _Message) -> tuple[ToolCall, ...]:
    """The caller's functions among the tools that were called; the CLI's own are none of his business."""
    found = []
    for _, block in sorted(message.blocks.items()):
        if _is_call(block):
            short = str(block["name"]).removeprefix(TOOL_PREFIX)
            found.append(_as_call(block, short))
    return tuple(found)


def _as_call(block: Mapping[str, Any], name: str) -> ToolCall:
    return ToolCall(str(block["id"]), name, _input(block), block["input_json"] or "{}")


def _is_call(block: Mapping[str, Any]) -> bool:
    return block["type"] == "tool_use" and str(block.get("name", "")).startswith(TOOL_PREFIX)


def _input(block: Mapping[str, Any]) -> Any:
    if not block["input_json"]:
        return block.get("input") or {}
    try:
        return json.loads(block["input_json"])
    except ValueError:
        # Cut in the middle: the caller gets what there is, as OpenAI hands out arguments that may not parse.
        return block["input_json"]
