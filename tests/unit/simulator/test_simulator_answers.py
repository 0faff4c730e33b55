"""What is answered, before it is written to a wire."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from simulator.answers import Answer, answer
from simulator.blocks import ToolUseBlock
from simulator.message_request import MessageRequest
from simulator.rules import Respond

MakeRequest = Callable[..., MessageRequest]

WEATHER = {
    "name": "mcp__functions__weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
STRUCTURED = {
    "name": "StructuredOutput",
    "input_schema": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]},
}


def text_of(found: Answer) -> str:
    """Return the answer's only block's text."""
    (block,) = found.blocks
    return block.content


def test_default_answer_quotes_the_prompt(make_request: MakeRequest) -> None:
    """Without a rule the first 200 characters of the last user text come back, and the model says simulated."""
    found = answer(make_request("ä" * 300), Respond())
    assert text_of(found) == "Simulated answer to: " + "ä" * 200
    assert (found.model, found.stop_reason) == ("simulated-claude-test", "end_turn")
    assert found.usage["input_tokens"] == 76
    assert found.usage["output_tokens"] == 56


def test_cli_blocks_are_not_the_users_text(make_request: MakeRequest) -> None:
    """The reminders that the CLI puts before a prompt are not answered."""
    reminder = {"type": "text", "text": "<system-reminder>\ndate\n</system-reminder>"}
    assert make_request([reminder, {"type": "text", "text": "hi"}]).last_user_text == "hi"
    odd = {"type": "text", "text": "<system-reminder> is how I begin"}
    assert make_request([reminder, odd]).last_user_text == odd["text"]


def test_attachments_are_described(make_request: MakeRequest) -> None:
    """An image and a document appear with their media type and decoded size."""
    data = base64.b64encode(b"x" * 1234).decode()
    blocks = [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
    ]
    expected = "Simulated answer to: look [image image/png 1234 bytes] [document application/pdf 1234 bytes]"
    assert text_of(answer(make_request(blocks), Respond())) == expected


def test_max_tokens_cuts_the_answer(make_request: MakeRequest) -> None:
    """An answer of more than max_tokens tokens is cut there and says so."""
    found = answer(make_request(max_tokens=3), Respond(text="x" * 100))
    assert text_of(found) == "x" * 12
    assert (found.stop_reason, found.usage["output_tokens"]) == ("max_tokens", 3)
    assert answer(make_request(max_tokens=3), Respond(text="x" * 12)).stop_reason == "end_turn"


def test_the_earliest_stop_sequence_ends_the_answer(make_request: MakeRequest) -> None:
    """The answer ends before the stop sequence that comes first, and names it."""
    found = answer(make_request(stop_sequences=["three", "two"]), Respond(text="one two three"))
    assert (text_of(found), found.stop_reason, found.stop_sequence) == ("one ", "stop_sequence", "two")


def test_stop_sequence_beyond_max_tokens_is_not_reached(make_request: MakeRequest) -> None:
    """What lies beyond max_tokens stops nothing."""
    found = answer(make_request(max_tokens=1, stop_sequences=["END"]), Respond(text="abcdefghEND"))
    assert (text_of(found), found.stop_reason, found.stop_sequence) == ("abcd", "max_tokens", None)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "mcp__functions__weather"}])
def test_a_forced_tool_is_called(make_request: MakeRequest, choice: dict[str, Any]) -> None:
    """A forced tool is called with an input made from its schema."""
    found = answer(make_request(tools=[WEATHER], tool_choice=choice), Respond())
    (block,) = found.blocks
    assert isinstance(block, ToolUseBlock)
    assert (block.name, json.loads(block.content)) == ("mcp__functions__weather", {"city": "sample"})
    assert found.stop_reason == "tool_use"


def test_markers_call_tools_by_their_plain_name(make_request: MakeRequest) -> None:
    """Each marker calls a tool; one that names no offered tool is plain text."""
    found = answer(make_request("[[call:weather]] [[call:weather]] [[call:no]]", tools=[WEATHER]), Respond())
    assert [block.name for block in found.blocks if isinstance(block, ToolUseBlock)] == [WEATHER["name"]] * 2
    none = answer(make_request("[[call:weather]]", tools=[WEATHER], tool_choice={"type": "none"}), Respond())
    assert none.stop_reason == "end_turn"


def test_offered_tools_are_not_called_unasked(make_request: MakeRequest) -> None:
    """With tool_choice auto an offered tool stays unused."""
    assert answer(make_request(tools=[WEATHER]), Respond()).stop_reason == "end_turn"


def test_structured_output_is_used_until_it_is_accepted(make_request: MakeRequest) -> None:
    """An offered StructuredOutput tool is used, again after an error result, and not after a good one."""
    assert answer(make_request(tools=[STRUCTURED]), Respond()).stop_reason == "tool_use"
    use = {"type": "tool_use", "id": "t1", "name": "StructuredOutput", "input": {"n": 5}}

    def after(is_error: bool) -> Answer:
        result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok", "is_error": is_error}
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        return answer(make_request(messages=messages, tools=[STRUCTURED]), Respond())

    assert after(is_error=True).stop_reason == "tool_use"
    assert after(is_error=False).stop_reason == "end_turn"


def test_thinking_comes_first(make_request: MakeRequest) -> None:
    """A request that enables thinking gets a thinking block before the text."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    found = answer(make_request(thinking=thinking), Respond(text="done"))
    assert [block.whole()["type"] for block in found.blocks] == ["thinking", "text"]


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        ({"texts": ["a", "b"]}, ["a", "b"]),
        ({"json": {"k": "ü"}}, ['{"k": "ü"}']),
        ({"structured": [1]}, ["[1]"]),
        ({"echo": True}, ["hello"]),
        ({"repeat_text": {"unit": "ab", "count": 3}}, ["ababab"]),
        ({"refusal": "no"}, ["no"]),
        ({"refusal": True}, []),
    ],
)
def test_respond_contents(make_request: MakeRequest, respond: dict[str, Any], expected: list[str]) -> None:
    """Each way to give an answer's content yields those text blocks."""
    found = answer(make_request(), Respond.model_validate(respond))
    assert [block.content for block in found.blocks] == expected


def test_respond_overrides_stop_reason_and_usage(make_request: MakeRequest) -> None:
    """A given stop reason and given token counts replace those counted."""
    respond = Respond.model_validate({"stop_reason": "pause_turn", "usage": {"output_tokens": 9}})
    found = answer(make_request(), respond)
    assert (found.stop_reason, found.usage["output_tokens"]) == ("pause_turn", 9)
    assert found.usage["input_tokens"] == 3
