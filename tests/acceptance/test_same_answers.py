"""What Claude's models do not take, on the whole stack: refused at the door, cut here, or left out and named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Stack

NEWEST = "claude-opus-4-7"
FUNCTION: dict[str, Any] = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALLS = [{"name": "StructuredOutput", "input": {"city": city}} for city in ("Bern", "Rome", "Oslo")]


def create(stack: Stack, content: Any, **fields: Any) -> Any:
    found: Any = stack.client().chat.completions.with_raw_response
    return found.create(**{"model": "sonnet", "messages": [{"role": "user", "content": content}], **fields})


def streamed(stack: Stack, content: str, **fields: Any) -> Iterator[Any]:
    made: Any = stack.client().chat.completions.create
    return iter(made(**{"model": "sonnet", "messages": [{"role": "user", "content": content}], **fields}, stream=True))


# -- stop sequences of white space -------------------------------------------------------------------------------------


def test_an_answer_is_cut_at_white_space(stack: Stack) -> None:
    """As lm-eval asks for it: `finish_reason` says stop, the usage what Claude wrote, and Claude gets the other sequence."""
    stack.simulator.add_rule({"text": "one\ntwo\n\nthree"})
    found = create(stack, "cut it", stop=["\n\n", "END"]).parse()
    assert (found.choices[0].message.content, found.choices[0].finish_reason) == ("one\ntwo", "stop")
    (sent,) = stack.asked("cut it")
    assert sent["stop_sequences"] == ["END"]
    assert found.usage.completion_tokens == 4


def test_a_stream_is_cut_at_white_space(stack: Stack) -> None:
    """No chunk has anything of what is behind the cut, though the sequence comes in pieces."""
    text = "one two three\n\nfour five six\n\nseven"
    stack.simulator.add_rule({"text": text, "held": True, "hang_after_deltas": 2}, tokens_per_second=40)
    chunks = []
    for chunk in streamed(stack, "cut the stream", stop="\n\n"):
        chunks.append(chunk.choices[0])
        if chunk.choices[0].delta.content:
            stack.simulator.clear_rules()
    assert "".join(choice.delta.content or "" for choice in chunks) == "one two three"
    assert len([choice for choice in chunks if choice.delta.content]) >= 2
    assert chunks[-1].finish_reason == "stop"


# -- one function that has to be called --------------------------------------------------------------------------------


def test_a_forced_function_keeps_all_its_calls(stack: Stack) -> None:
    """In chat, as a stream, and as a response: none of what the model called is lost."""
    tools = [{"type": "function", "function": FUNCTION}]
    stack.simulator.add_rule({"tool_calls": CALLS}, times=2)
    choice = {"type": "function", "function": {"name": "get_weather"}}
    found = create(stack, "all cities", tools=tools, tool_choice=choice).parse().choices[0]
    assert [json.loads(call.function.arguments)["city"] for call in found.message.tool_calls] == [
        "Bern",
        "Rome",
        "Oslo",
    ]
    assert len({call.id for call in found.message.tool_calls}) == 3
    told: dict[int, str] = {}
    for chunk in streamed(stack, "all cities again", tools=tools, tool_choice="required"):
        for call in chunk.choices[0].delta.tool_calls or ():
            told[call.index] = told.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(told[index])["city"] for index in range(3)] == ["Bern", "Rome", "Oslo"]


def test_a_response_keeps_all_calls_of_a_forced_function(stack: Stack) -> None:
    """Each call is an item."""
    stack.simulator.add_rule({"tool_calls": CALLS}, times=1)
    respond: Any = stack.client().responses.create
    response = respond(
        model="sonnet", input="all of them", tools=[{"type": "function", **FUNCTION}], tool_choice="required"
    )
    assert [json.loads(item.arguments)["city"] for item in response.output] == ["Bern", "Rome", "Oslo"]
    (sent,) = stack.asked("all of them")
    assert "disable_parallel_tool_use" not in sent["tool_choice"]


def test_no_parallel_calls_where_none_are_wanted(stack: Stack) -> None:
    """`parallel_tool_calls: false` reaches Claude for a forced function, too."""
    create(
        stack,
        "only one city",
        tools=[{"type": "function", "function": FUNCTION}],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    (sent,) = stack.asked("only one city")
    assert sent["tool_choice"]["disable_parallel_tool_use"] is True


# -- sampling ----------------------------------------------------------------------------------------------------------


def test_sampling_that_a_model_refuses_is_left_out_and_named(stack: Stack) -> None:
    """It is asked once more without; the header names it, and what else had no effect. Later requests do not try."""
    found = create(stack, "be cold", model=NEWEST, temperature=0.01, top_p=0.1, seed=7)
    assert found.parse().choices[0].message.content
    assert set(found.headers["x-nightshift-ignored"].split(", ")) == {"temperature", "top_p", "seed"}
    assert "temperature" not in stack.asked("be cold")[-1]
    assert found.headers["x-nightshift-attempts"] == "1"


def test_a_stream_names_it_at_its_end(stack: Stack) -> None:
    """Its headers are sent before Claude is asked: a comment says it."""
    body = {"model": NEWEST, "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "stream": True}
    reply = stack.http("POST", "/v1/chat/completions", body)
    assert ": x-nightshift-ignored: temperature\n" in reply.body


# -- the door ----------------------------------------------------------------------------------------------------------


def test_what_the_worker_would_refuse_is_refused_at_once(stack: Stack) -> None:
    """No job is made of it, and no worker is asked."""
    before = stack.http("GET", "/v1/jobs?limit=1").body["data"][0]["id"]
    for content, param in (
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}], "content[0].image_url"),
        ([{"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}}], "content[0].file.file_data"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            create(stack, content)
        assert refused.value.param == f"messages[0].{param}"
    assert stack.http("GET", "/v1/jobs?limit=1").body["data"][0]["id"] == before
