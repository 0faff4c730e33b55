"""OpenAI's own client: parsed answers and function calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.models import Cat, Node, Owner, Person, Weather

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tests.acceptance.stack import Stack

ASK: list[Any] = [{"role": "user", "content": "Tell me."}]


def client(stack: Stack) -> openai.OpenAI:
    """One that holds every answer against OpenAI's own types."""
    return stack.client(_strict_response_validation=True)


def function(name: str, **fields: Any) -> Any:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **fields}}


@pytest.mark.parametrize("model", [Person, Owner, Node])
def test_parse(stack: Stack, model: type[BaseModel]) -> None:
    """Nested, optional, told apart, recursive: the answer is one of the model, from one request."""
    found = client(stack).chat.completions.parse(model="sonnet", messages=ASK, response_format=model)
    assert isinstance(found.choices[0].message.parsed, model)
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None and found.usage.completion_tokens > 0
    assert len(stack.asked("Tell me.")) == 1


def test_content_is_bare_json(stack: Stack) -> None:
    """Letters outside ASCII included."""
    stack.simulator.add_rule({"structured": {"kind": "cat", "lives": 9, "name": "Mü🐈"}})
    found = client(stack).chat.completions.create(
        model="sonnet", messages=ASK, response_format={"type": "json_schema", "json_schema": {"name": "Cat", "schema": Cat.model_json_schema()}}
    )  # fmt: skip
    assert found.choices[0].message.content == '{"kind": "cat", "lives": 9, "name": "Mü🐈"}'


def test_json_object(stack: Stack) -> None:
    """The content is an object."""
    stack.simulator.add_rule({"structured": {"value": {"a": [1]}}})
    found = client(stack).chat.completions.create(model="sonnet", messages=ASK, response_format={"type": "json_object"})
    assert json.loads(found.choices[0].message.content or "") == {"a": [1]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ({"type": "string", "description": "d" * 150_000}, "text"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 1, "exclusiveMinimum": True}, 2),
        ({"anyOf": [{"$ref": "#/definitions/A"}, {"type": "null"}], "definitions": {"A": {"type": "boolean"}}}, True),
    ],
)  # fmt: skip
def test_any_schema(stack: Stack, schema: Any, value: Any) -> None:
    """A root that is no object, an old draft, and 150 KB."""
    stack.simulator.add_rule({"structured": {"value": value}})
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "any", "schema": schema}}
    found = client(stack).chat.completions.create(model="sonnet", messages=ASK, response_format=wanted)
    assert json.loads(found.choices[0].message.content or "") == value


def test_one_repair(stack: Stack) -> None:
    """A wrong answer is asked again once, with the request and the fault in view; the usage is that of both."""
    stack.simulator.add_rule({"structured": {"kind": "cat"}, "usage": {"input_tokens": 1000}}, times=1)
    found = client(stack).chat.completions.parse(model="sonnet", messages=ASK, response_format=Cat)
    assert found.choices[0].message.parsed is not None
    assert found.usage is not None and found.usage.prompt_tokens > 1000
    _, second = stack.asked("Tell me.")
    assert '"lives" is a required property' in json.dumps(second["messages"], ensure_ascii=False).replace('\\"', '"')


def test_what_can_not_be_repaired_is_a_failure(stack: Stack) -> None:
    """It says what was wrong, and the client does not try again."""
    stack.simulator.add_rule({"structured": {"kind": "cat"}})
    with pytest.raises(openai.UnprocessableEntityError) as failed:
        stack.client(max_retries=2).chat.completions.parse(model="sonnet", messages=ASK, response_format=Cat)
    assert failed.value.code == "structured_output_failed"
    assert "lives" in failed.value.message
    assert len(stack.asked("Tell me.")) == 2


def test_truncated(stack: Stack) -> None:
    """At the cap the client hears `length`; nothing is repaired."""
    stack.simulator.add_rule({"structured": {"name": "word " * 50, "addresses": []}})
    with pytest.raises(openai.LengthFinishReasonError) as cut:
        client(stack).chat.completions.parse(model="sonnet", messages=ASK, response_format=Person, max_tokens=9)
    assert (cut.value.completion.choices[0].message.content or "").startswith('{"name": "word')
    assert len(stack.asked("Tell me.")) == 1


def test_refusal(stack: Stack) -> None:
    """The refusal's text, and nothing parsed."""
    stack.simulator.add_rule({"refusal": "I won't."})
    message = client(stack).chat.completions.parse(model="sonnet", messages=ASK, response_format=Cat).choices[0].message
    assert (message.refusal, message.parsed) == ("I won't.", None)


def test_no_schema(stack: Stack) -> None:
    """A 400 that names the place."""
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        client(stack).chat.completions.create(model="sonnet", messages=ASK, response_format=wanted)
    assert (refused.value.param or "").startswith("response_format.json_schema.schema")


def test_a_conversation_with_calls(stack: Stack) -> None:
    """Two calls in one answer, their results, and the answer to those; ids and names are the same on the whole way."""
    long_name = "f" * 64
    tools = [function("weather"), function(long_name)]
    messages: list[Any] = [{"role": "user", "content": f"[[call:weather]] Tell me. [[call:{'f' * 42}_"}]
    calls = [
        {"name": "weather", "input": {"city": "Rome"}},
        {"name": _short(stack, tools, long_name), "input": {"city": "Ulm"}},
    ]
    stack.simulator.clear()
    stack.simulator.add_rule({"tool_calls": calls}, times=1)
    first = client(stack).chat.completions.create(model="sonnet", messages=messages, tools=tools).choices[0]
    assert first.finish_reason == "tool_calls"
    made: list[Any] = first.message.tool_calls or []
    assert [(c.function.name, json.loads(c.function.arguments)) for c in made] == [
        ("weather", {"city": "Rome"}),
        (long_name, {"city": "Ulm"}),
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"sunny {i}"} for i, call in enumerate(made)]
    messages = [*messages, first.message.model_dump(exclude_none=True), *results]
    second = client(stack).chat.completions.create(model="sonnet", messages=messages, tools=tools).choices[0]
    assert second.finish_reason == "stop"
    assert "sunny 0" in (second.message.content or "")
    sent = stack.asked("sunny 1")[0]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "user"]
    assert (
        [b["id"] for b in sent[1]["content"]] == [b["tool_use_id"] for b in sent[2]["content"]] == [c.id for c in made]
    )


def _short(stack: Stack, tools: Any, name: str) -> str:
    """What a long name is for Claude: at most 64 characters with its prefix."""
    client(stack).chat.completions.create(model="sonnet", messages=ASK, tools=tools)
    names = [tool["name"] for tool in stack.asked("Tell me.")[0]["tools"]]
    assert all(len(found) <= 64 for found in names)
    return next(str(found) for found in names if found != "mcp__client__weather")


NEWS = {"type": "function", "function": {"name": "news"}}


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["weather"]),
        ({"type": "function", "function": {"name": "news"}}, ["news"]),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NEWS]}}, []),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NEWS]}}, ["news"]),
    ],
)
def test_tool_choice(stack: Stack, choice: Any, called: list[str]) -> None:
    """What the client lets the model choose from is what it has."""
    tools = [function("weather"), function("news")]
    found = client(stack).chat.completions.create(model="sonnet", messages=ASK, tools=tools, tool_choice=choice)
    made: list[Any] = found.choices[0].message.tool_calls or []
    assert [call.function.name for call in made] == called
    assert all(json.loads(call.function.arguments)["city"] for call in made)
    assert found.choices[0].finish_reason == ("tool_calls" if called else "stop")
    assert (found.choices[0].message.content is None) is bool(called)


def test_a_forced_function_is_repaired(stack: Stack) -> None:
    """It is held against its parameters like any structured answer."""
    stack.simulator.add_rule({"structured": {"town": "Rome"}}, times=1)
    found = client(stack).chat.completions.create(
        model="sonnet", messages=ASK, tools=[function("weather")], tool_choice="required"
    )
    (call,) = found.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["city"]  # type: ignore[union-attr]
    assert len(stack.asked("Tell me.")) == 2


def test_strict_functions_are_checked(stack: Stack) -> None:
    """The arguments of a call that the model chose fit, or are asked for once more."""
    stack.simulator.add_rule({"tool_calls": [{"name": "Weather", "input": {"unit": "kelvin"}}]}, times=1)
    stack.simulator.add_rule({"tool_calls": [{"name": "Weather", "input": {"city": "Rome", "unit": "celsius"}}]})
    found = client(stack).chat.completions.parse(
        model="sonnet", messages=ASK, tools=[openai.pydantic_function_tool(Weather)]
    )
    (call,) = found.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Weather(city="Rome")
    assert len(stack.asked("Tell me.")) == 2


def test_one_call_at_most(stack: Stack) -> None:
    """`parallel_tool_calls: false` is Claude's own switch."""
    client(stack).chat.completions.create(
        model="sonnet", messages=ASK, tools=[function("weather")], parallel_tool_calls=False
    )
    assert stack.asked("Tell me.")[0]["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_functions_beside_a_schema(stack: Stack) -> None:
    """A call while there is something to call, JSON at the end."""
    create = client(stack).chat.completions.create
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "Cat", "schema": Cat.model_json_schema()}}
    ask: list[Any] = [{"role": "user", "content": "[[call:weather]]"}]
    first = create(model="sonnet", messages=ask, tools=[function("weather")], response_format=wanted).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or []
    ask += [first.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    last = create(model="sonnet", messages=ask, tools=[function("weather")], response_format=wanted).choices[0]
    assert Cat.model_validate_json(last.message.content or "").kind == "cat"


def test_streamed_arguments(stack: Stack) -> None:
    """Piece by piece while they are written, and whole at the end."""
    calls = [{"name": "weather", "input": {"city": "Rome " * 10}}, {"name": "news", "input": {"city": "Ulm " * 10}}]
    stack.simulator.add_rule({"tool_calls": calls}, tokens_per_second=40)
    tools = [function("weather"), function("news")]
    pieces, ends = 0, []
    arguments: dict[int, str] = {}
    names = []
    for chunk in client(stack).chat.completions.create(model="sonnet", messages=ASK, tools=tools, stream=True):
        for choice in chunk.choices:
            ends += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                pieces += 1
                names += [call.function.name] if call.function.name else []
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    assert names == ["weather", "news"]
    assert [json.loads(arguments[i]) for i in range(2)] == [call["input"] for call in calls]
    assert pieces > 6
    assert ends == ["tool_calls"]


def test_too_long(stack: Stack) -> None:
    """The API's own answer, in OpenAI's words."""
    with pytest.raises(openai.BadRequestError) as refused:
        client(stack).chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "word " * 1_200_000}]
        )
    assert refused.value.code == "context_length_exceeded"


def test_a_field_that_a_model_refuses(stack: Stack) -> None:
    """Its 400 is the client's, with the field's name."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "`max_tokens` is too large for this model."}})
    with pytest.raises(openai.BadRequestError) as refused:
        client(stack).chat.completions.create(model="sonnet", messages=ASK, max_tokens=5)
    assert refused.value.param == "max_tokens"


def test_sampling_that_a_model_refuses(stack: Stack) -> None:
    """It is asked again without, and the header says so."""
    found = client(stack).chat.completions.with_raw_response.create(
        model="claude-opus-4-7", messages=ASK, temperature=0.5
    )
    assert found.headers["x-nightshift-ignored"] == "temperature"


def test_an_effort_that_can_not_be_made(stack: Stack) -> None:
    """Forced answers come without thinking, and the header says so."""
    found = client(stack).chat.completions.with_raw_response.create(
        model="sonnet", messages=ASK, response_format={"type": "json_object"}, reasoning_effort="high"
    )
    assert found.headers["x-nightshift-ignored"] == "reasoning_effort"
    assert stack.asked("Tell me.")[0].get("thinking") is None
