"""Answers held against what was wanted: functions that have to be called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.messages import Mismatch, check, to_claude
from app.messages.answer import Answer, ToolCall
from app.messages.output_spec import VALUE_TOOL

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def wanted(name: str = "f", parameters: Any = CITY, **fields: Any) -> Any:
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}}]
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": tools,
        "tool_choice": "required",
        **fields,
    }
    return to_claude({"claude_model": "sonnet", "request": request})


def answer(*inputs: Any, stop_reason: str = "end_turn", text: str = "") -> Answer:
    calls = tuple(
        ToolCall(f"toolu_{number}", VALUE_TOOL, given, given if isinstance(given, str) else json.dumps(given))
        for number, given in enumerate(inputs)
    )
    return Answer(
        text=text,
        stop_reason=stop_reason,
        model="m",
        usage={},
        cost_usd=None,
        value_calls=calls,
        message_ids=("msg_9",),
    )


def test_one_forced_function_keeps_all_its_calls() -> None:
    """Each with the model's own id, in their order."""
    checked = check(answer({"city": "Bern"}, {"city": "Rome"}), wanted().output)
    assert [(call.id, call.name, json.loads(call.arguments)) for call in checked.calls] == [
        ("toolu_0", "f", {"city": "Bern"}),
        ("toolu_1", "f", {"city": "Rome"}),
    ]
    assert checked.text is None


def test_each_of_them_is_checked() -> None:
    """One that does not fit is a mismatch, whichever it is."""
    with pytest.raises(Mismatch, match="city"):
        check(answer({"city": "Bern"}, {"town": "Rome"}), wanted().output)


def test_wrapped_arguments_are_taken_out_of_each() -> None:
    """A function whose parameters are no plain object gets them in a wrapper."""
    spec = wanted(parameters={"anyOf": [CITY]}).output
    checked = check(answer({"value": {"city": "Bern"}}, {"value": {"city": "Rome"}}), spec)
    assert [json.loads(call.arguments) for call in checked.calls] == [{"city": "Bern"}, {"city": "Rome"}]


def test_calls_that_are_cut_come_as_they_are() -> None:
    """All of them, the last one not to its end."""
    checked = check(answer({"city": "Bern"}, '{"city": "Ro', stop_reason="max_tokens"), wanted().output)
    assert [call.arguments for call in checked.calls] == ['{"city": "Bern"}', '{"city": "Ro']


def test_arguments_as_text_are_a_call() -> None:
    """A model that answers in prose with the JSON has called the function all the same."""
    checked = check(answer(text='{"city": "Bern"}'), wanted().output)
    assert [(call.id, call.arguments) for call in checked.calls] == [("toolu_9", '{"city": "Bern"}')]


@pytest.mark.parametrize(
    ("fields", "is_single"),
    [
        ({}, False),
        ({"parallel_tool_calls": True}, False),
        ({"parallel_tool_calls": False}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False}, True),
        ({"tool_choice": "none", "response_format": {"type": "json_object"}}, True),
    ],
)
def test_who_wants_one_call_gets_one(fields: dict[str, Any], is_single: bool) -> None:
    """The API is told; a response format is one answer in any case."""
    choice = wanted(**fields).tool_choice
    assert choice == {"type": "tool", "name": VALUE_TOOL} | ({"disable_parallel_tool_use": True} if is_single else {})
