"""A Messages API request as Claude's CLI is asked, and the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.messages import to_claude
from app.messages.answer import Answer, CallDelta, TextDelta, ToolCall
from workers.claude import to_cli
from workers.claude.dialect import MAX_NAME, CliRequest
from workers.claude.turn import SCHEMA_TOOL, TOOL_PREFIX

LONG = "a_function_with_a_name_that_is_as_long_as_openais_api_allows_it_"


def asked(*messages: dict[str, Any], **fields: Any) -> CliRequest:
    talk = [*messages, {"role": "user", "content": "go"}]
    return to_cli(to_claude({"claude_model": "sonnet", "request": {"model": "gpt-4o", "messages": talk, **fields}}))


def functions(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def test_only_the_clients_parameters_are_in_the_body() -> None:
    """What nobody asked for is left to the CLI."""
    assert asked().prompt.fields == {}
    body = asked(temperature=0, stop="END", max_tokens=100).prompt.fields
    assert body == {"max_tokens": 100, "stop_sequences": ["END"], "temperature": 0}


def test_functions_have_the_clis_names_everywhere() -> None:
    """Offered, forced and in the history: one name, the same each time, short enough for every provider."""
    called = {"id": "c1", "type": "function", "function": {"name": LONG, "arguments": "{}"}}
    found = asked(
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        tools=functions("f", LONG),
    )
    short, long = (tool["name"] for tool in found.prompt.fields["tools"])
    assert short == f"{TOOL_PREFIX}f"
    assert long.startswith(f"{TOOL_PREFIX}a_function") and len(long) == MAX_NAME
    assert found.prompt.history[1]["content"][1]["name"] == long
    assert [TOOL_PREFIX + tool["name"] for tool in json.loads(found.profile.tools or "")] == [long, short]


def test_answers_have_the_clients_names() -> None:
    """Calls, and pieces of calls, name the function as its client does; text is left alone."""
    found = asked(tools=functions("f", LONG))
    long = json.loads(found.profile.tools or "")[0]["name"]
    calls = (ToolCall("1", long, {}), ToolCall("2", "f", {}), ToolCall("3", "made_up", {}))
    answer = Answer(text="", stop_reason="tool_use", model="m", usage={}, cost_usd=None, tool_calls=calls)
    assert [call.name for call in found.answer(answer).tool_calls] == [LONG, "f", "made_up"]
    assert found.delta(CallDelta(0, "1", long, True, "", "m")) == CallDelta(0, "1", LONG, True, "", "m")
    assert found.delta(TextDelta("f", "m")) == TextDelta("f", "m")


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": functions("f"), "tool_choice": "required"},
        {"tools": functions(SCHEMA_TOOL), "response_format": {"type": "json_object"}},
    ],
)
def test_a_value_comes_by_the_clis_own_tool(fields: dict[str, Any]) -> None:
    """The process takes any object, whatever the schema, which goes with the request; a function of that name is another."""
    found = asked(**fields)
    body = found.prompt.fields
    assert found.profile.schema == '{"type":"object"}'
    assert [tool["name"] for tool in body["tools"]][-1:] == [SCHEMA_TOOL]
    assert [tool["name"] for tool in body["tools"]].count(SCHEMA_TOOL) == 1


def test_which_functions_are_allowed_asks_for_no_other_process() -> None:
    """The process knows them all; which of them may be called is the request's."""
    some = {"mode": "auto", "tools": functions("f")}
    every = asked(tools=functions("f", "g"))
    allowed = asked(tools=functions("f", "g"), tool_choice={"type": "allowed_tools", "allowed_tools": some})
    assert allowed.prompt.fields != every.prompt.fields
    assert allowed.profile == every.profile
