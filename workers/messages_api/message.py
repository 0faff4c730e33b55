"""A whole message of the Messages API as an `Answer`: what `reading` makes of a stream's events. No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.messages.answer import STOP_REASONS, Answer, ToolCall, whole
from app.messages.failure import FailureKind, TurnFailed

if TYPE_CHECKING:
    from app.ways import Way

#: of an unknown stop reason, characters
_MAX_REASON = 100


def answer_of(message: dict[str, Any], value_tool: str | None, way: Way) -> Answer:
    """The answer. Raises `TurnFailed` for one that is none.

    `value_tool`: name of the tool whose input is the wanted value. What a thing is is told by its `type`; blocks of an unknown one
    are left aside.
    """
    try:
        usage, reason = dict(message.get("usage") or {}), message["stop_reason"]
        if message["type"] != "message" or not isinstance(reason, str):
            raise ValueError(f"it is of type {message['type']!r}")
        blocks: dict[str, list[dict[str, Any]]] = {"text": [], "thinking": [], "tool_use": []}
        for block in message["content"]:
            blocks.get(block["type"], []).append(block)
        calls = [_call(block) for block in blocks["tool_use"]]
        text, thinking = ("".join(whole(block[kind]) for block in blocks[kind]) for kind in ("text", "thinking"))
        model, message_id = str(message["model"]), str(message["id"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        words = f"Claude's API sent what can't be read ({type(error).__name__})."
        raise TurnFailed(FailureKind.SERVER, words) from None
    if reason not in STOP_REASONS:
        words = f"Claude ended its answer with the unknown reason '{whole(reason)[:_MAX_REASON]}'."
        raise TurnFailed(FailureKind.UNKNOWN_END, words, usage=usage)
    own = tuple(call for call in calls if call.name != value_tool)
    return Answer(
        text=text,
        stop_reason="end_turn" if reason == "tool_use" and not own else reason,
        model=model,
        usage=usage,
        cost_usd=None,
        value_calls=tuple(call for call in calls if call.name == value_tool),
        tool_calls=own,
        message_ids=(message_id,),
        thinking=thinking,
        stop_sequence=message.get("stop_sequence"),
        way=way,
    )


def _call(block: dict[str, Any]) -> ToolCall:
    text = whole(json.dumps(block["input"], ensure_ascii=False))
    return ToolCall(str(block["id"]), str(block["name"]), json.loads(text), text)
