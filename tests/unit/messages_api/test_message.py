"""A whole message is the answer that the same message is as a stream, and what is none is a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.messages.failure import FailureKind, TurnFailed
from app.ways import Way
from workers.messages_api.message import answer_of


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": list(content)}
    return {**found, "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}, **fields}


TEXT = {"type": "text", "text": "one"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": [1, "ü"]}}


def test_text_thinking_and_calls() -> None:
    """Blocks of an unknown type are left aside; a call's arguments are JSON of its input."""
    blocks = (
        {"type": "thinking", "thinking": "hm"},
        TEXT,
        {"type": "new", "x": 1},
        {"type": "text", "text": " two"},
        CALL,
    )
    found = answer_of(message(*blocks, stop_reason="tool_use"), None, Way.BATCHES)
    assert (found.text, found.thinking, found.stop_reason, found.way) == ("one two", "hm", "tool_use", Way.BATCHES)
    (call,) = found.tool_calls
    assert (call.id, call.name, call.input, json.loads(call.arguments)) == (
        "toolu_1",
        "look",
        CALL["input"],
        CALL["input"],
    )


def test_the_wanted_value_is_no_call() -> None:
    """It came by the tool of that name, which ends the turn."""
    found = answer_of(message(CALL, stop_reason="tool_use"), "look", Way.BATCHES)
    assert (found.tool_calls, found.stop_reason) == ((), "end_turn")
    assert found.value_calls[0].input == CALL["input"]


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "message_batch"},
        {"stop_reason": None},
        {"content": None},
        {"content": [{"type": "text", "text": None}]},
        {"content": [{"text": "of no type"}]},
        {"content": [{**CALL, "input": {}, "name": "look", "id": None} | {"type": []}]},
        {"usage": 7},
    ],
)
def test_what_is_no_message_is_a_failure(bad: dict[str, Any]) -> None:
    """Never an answer that is empty, or a bug of ours."""
    with pytest.raises(TurnFailed) as caught:
        answer_of(message(TEXT, **bad), None, Way.BATCHES)
    assert caught.value.kind is FailureKind.SERVER


def test_an_unknown_reason_is_no_end() -> None:
    """As in a stream."""
    with pytest.raises(TurnFailed) as caught:
        answer_of(message(TEXT, stop_reason="pause_turn"), None, Way.BATCHES)
    assert caught.value.kind is FailureKind.UNKNOWN_END
