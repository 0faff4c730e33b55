"""OpenAI's request as a call of Claude, and Claude's answer as OpenAI's completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.errors import ErrorReply
from app.jobs.record import JobRecord, Status
from app.messages import check, to_claude
from app.messages import to_openai as make
from app.messages.answer import Answer
from app.messages.output_spec import VALUE_TOOL, OutputSpec
from app.messages.request import Thinking

if TYPE_CHECKING:
    from app.outcome import Outcome


def payload(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"claude_model": "sonnet", "request": {"model": "gpt-4o", "messages": list(messages), **fields}}


def user(content: Any = "hello") -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_a_single_prompt_stays_a_plain_text() -> None:
    """One user message is the one turn, to the letter, with no system text."""
    asked = to_claude(payload(user("  /clear @/etc/passwd \n")))
    assert asked.messages == ({"role": "user", "content": "  /clear @/etc/passwd \n"},)
    assert asked.system is None


def test_system_and_developer_text_go_to_the_system_slot() -> None:
    """System and developer messages, wherever they stand, make the system text in their order."""
    asked = to_claude(
        payload(
            {"role": "system", "content": "A"},
            user(),
            {"role": "developer", "content": [{"type": "text", "text": "B"}]},
        )
    )
    assert asked.system == "A\n\nB"
    assert [turn["content"] for turn in asked.messages] == ["hello"]


def test_a_conversation_keeps_its_roles() -> None:
    """Turns have their true roles; neighbours of one role are one turn."""
    asked = to_claude(payload(user("1"), {"role": "assistant", "content": "2"}, user("3"), user("4")))
    assert asked.messages[:2] == ({"role": "user", "content": "1"}, {"role": "assistant", "content": "2"})
    assert [block["text"] for block in asked.messages[2]["content"]] == ["3", "4"]


def test_tool_calls_and_results_are_replayed_as_such() -> None:
    """An assistant's call becomes a tool_use block and its result a tool_result of the same id."""
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    asked = to_claude(
        payload(
            user(),
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        )
    )
    assert asked.messages[1]["content"] == [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]
    assert asked.messages[2]["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]


@pytest.mark.parametrize(
    ("message", "replayed"),
    [
        ({"content": None, "refusal": "I won't."}, [{"type": "text", "text": "I won't."}]),
        ({"content": ""}, None),
        ({"content": None, "refusal": ""}, None),
    ],
)
def test_what_the_model_said_is_never_empty(message: dict[str, Any], replayed: list[dict[str, Any]] | None) -> None:
    """A refusal is replayed as the text that it was; an answer without any text, which Claude would refuse, is left out."""
    asked = to_claude(payload(user("1"), {"role": "assistant", **message}, user("2")))
    if replayed:
        assert asked.messages[1] == {"role": "assistant", "content": replayed}
    else:
        assert [block["text"] for turn in asked.messages for block in turn["content"]] == ["1", "2"]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_the_allowed_tools_are_offered(mode: str) -> None:
    """An earlier call of another one is replayed all the same; all of them are known."""
    called = {"id": "c1", "type": "function", "function": {"name": "h", "arguments": "{}"}}
    talk = [
        user(),
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    tools = [{"type": "function", "function": {"name": name}} for name in "fgh"]
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": name}} for name in "fg"]}
    every = to_claude(payload(*talk, tools=tools, tool_choice=mode))
    some = to_claude(
        payload(*talk, tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}),
    )
    assert [tool["name"] for tool in some.tools] == ["f", "g"]
    assert some.tool_choice == {"type": "any" if mode == "required" else "auto"}
    assert some.messages == every.messages
    assert some.output.known == every.output.known == ("f", "g", "h")


def test_one_allowed_tool_that_is_required_is_forced() -> None:
    """Its arguments are checked, as if it had been named."""
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    named = {"type": "function", "function": {"name": "g"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    assert to_claude(payload(user(), tools=tools, tool_choice=choice)) == to_claude(
        payload(user(), tools=tools, tool_choice=named)
    )


def test_sampling_is_carried_over() -> None:
    """temperature, top_p, stop and the smaller of the two caps are the API's own parameters."""
    asked = to_claude(payload(user(), temperature=0, top_p=0.5, stop="END", max_tokens=100, max_completion_tokens=50))
    assert (asked.max_tokens, asked.stop_sequences) == (50, ("END",))
    assert asked.sampling == {"temperature": 0, "top_p": 0.5}


def test_a_conversation_that_ends_with_the_assistant_is_refused() -> None:
    """There must be something to answer."""
    with pytest.raises(ErrorReply, match="last message"):
        to_claude(payload(user(), {"role": "assistant", "content": "x"}))


@pytest.mark.parametrize(
    ("effort", "expected"),
    [(None, None), ("none", None), ("minimal", None), ("high", Thinking("high", 16384))],
)
def test_reasoning_effort_is_thinking(effort: str | None, expected: Thinking | None) -> None:
    """An effort turns thinking on, for models that think by effort and for those that think by budget."""
    assert to_claude(payload(user(), **({"reasoning_effort": effort} if effort else {}))).thinking == expected


def test_no_thinking_where_a_tool_is_forced() -> None:
    """The API takes one or the other."""
    asked = to_claude(payload(user(), reasoning_effort="high", response_format={"type": "json_object"}))
    assert asked.thinking is None


def test_the_tool_of_the_answer_has_a_name_of_its_own() -> None:
    """A client's function that is called like the tool by which JSON comes, now or earlier, is another."""
    called = {"id": "c1", "type": "function", "function": {"name": f"{VALUE_TOOL}_", "arguments": "{}"}}
    asked = to_claude(
        payload(
            user(),
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            tools=[{"type": "function", "function": {"name": VALUE_TOOL}}],
            response_format={"type": "json_object"},
        )
    )
    assert [tool["name"] for tool in asked.tools] == [VALUE_TOOL, f"{VALUE_TOOL}__"]


def test_ids_of_other_models_are_made_claudes() -> None:
    """A call's id may have characters that Claude refuses; call and result still belong together."""
    called = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": ""}}
    asked = to_claude(
        payload(
            user(),
            {"role": "assistant", "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": ""},
        )
    )
    used = asked.messages[1]["content"][0]["id"]
    assert used.startswith("toolu_")
    assert asked.messages[2]["content"][0]["tool_use_id"] == used


def to_openai(answer: Answer, record_: JobRecord) -> Outcome:
    return make(answer, check(answer, OutputSpec()), record_)


def record() -> JobRecord:
    return JobRecord(
        id="chatcmpl-1",
        kind="chat.completion",
        status=Status.IN_PROGRESS,
        model="sonnet",
        created_at=1.5,
        deadline_at=9,
    )


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls")],
)
def test_finish_reason_is_true(stop_reason: str, finish_reason: str) -> None:
    """Each of Claude's stop reasons has OpenAI's word."""
    answer = Answer(text="x", stop_reason=stop_reason, model="m", usage={}, cost_usd=None)
    body = to_openai(answer, record()).body
    assert body is not None and body["choices"][0]["finish_reason"] == finish_reason


def test_usage_is_what_was_reported() -> None:
    """Cached and written prompt tokens count as prompt tokens, thinking as reasoning tokens; nothing is made up."""
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 11,
        "output_tokens": 13,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    answer = Answer(text="x", stop_reason="end_turn", model="m", usage=usage, cost_usd=0.25)
    outcome = to_openai(answer, record())
    assert outcome.body is not None
    found = outcome.body["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (23, 13, 36)
    assert found["prompt_tokens_details"]["cached_tokens"] == 7
    assert found["completion_tokens_details"]["reasoning_tokens"] == 3
    assert outcome.headers["x-nightshift-cost-usd"] == "0.250000"


def test_a_refusal_is_a_refusal() -> None:
    """Where the model refuses, the text stands under `refusal` and there is no content."""
    answer = Answer(text="I can't.", stop_reason="refusal", model="m", usage={}, cost_usd=None)
    body = to_openai(answer, record()).body
    assert body is not None
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "I can't."}
