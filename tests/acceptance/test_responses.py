"""`/v1/responses` on the whole stack, asked by OpenAI's own client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

from tests.openai_schema import openai_schema
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.acceptance.stack import Stack

PIXEL = "data:image/PNG;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WORDS = " ".join(f"word{number}" for number in range(20))
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def ask(stack: Stack, content: Any, **fields: Any) -> Any:
    """One response; its shape is checked by the client's own types."""
    create: Any = stack.client(_strict_response_validation=True).responses.create
    return create(model="sonnet", input=content, **fields)


def by_type(events: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for event in events:
        found.setdefault(event.type, []).append(event)
    return found


def read_held(stack: Stack, stream: Iterable[Any], kind: str) -> list[Any]:
    """All events; what Claude holds back is let go once there is one of this kind."""
    events = []
    for event in stream:
        events.append(event)
        if event.type == kind:
            stack.simulator.clear_rules()
    return events


def finished(stack: Stack, response_id: str) -> Any:
    """The response once it has ended, polled for."""
    client: Any = stack.client(_strict_response_validation=True)
    wait_until(lambda: client.responses.retrieve(response_id).status not in ("queued", "in_progress"), "an end")
    return client.responses.retrieve(response_id)


def test_create(stack: Stack) -> None:
    """The text, the model that answered and the usage as Claude reported it; the instructions are the system prompt."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 5}
    stack.simulator.add_rule({"text": "hello there", "usage": usage})
    found = ask(stack, "say hello", instructions="be brief", metadata={"a": "b"}, max_output_tokens=100)
    assert (found.status, found.output_text, found.object) == ("completed", "hello there", "response")
    assert found.model.startswith("simulated-claude-")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (15, 5)
    assert (found.usage.input_tokens_details.cached_tokens, found.usage.input_tokens_details.cache_write_tokens) == (
        3,
        2,
    )
    assert (found.instructions, found.metadata, found.max_output_tokens) == ("be brief", {"a": "b"}, 100)
    assert found.id.startswith("resp_")
    (sent,) = stack.asked("say hello")
    assert "be brief" in json.dumps(sent["system"])
    assert sent["max_tokens"] == 100
    assert stack.client().responses.retrieve(found.id) == stack.client().responses.retrieve(found.id)
    assert stack.client().responses.retrieve(found.id).output_text == "hello there"


def test_cut(stack: Stack) -> None:
    """An answer that the cap cut is incomplete, and says why."""
    stack.simulator.add_rule({"text": "cut he", "stop_reason": "max_tokens"})
    found = ask(stack, "cut")
    assert (found.status, found.incomplete_details.reason, found.output_text) == (
        "incomplete",
        "max_output_tokens",
        "cut he",
    )


def test_refusal(stack: Stack) -> None:
    """What the model refuses is a refusal part."""
    stack.simulator.add_rule({"text": "I would rather not.", "stop_reason": "refusal"})
    assert ask(stack, "refuse").output[0].content[0].refusal == "I would rather not."


def test_what_goes_wrong_is_an_http_error(stack: Stack) -> None:
    """What Claude refuses keeps its status, its parameter in the words of this endpoint; the stored one has failed."""
    stack.simulator.add_rule({"error": {"status": 400, "message": "max_tokens: too many"}})
    with pytest.raises(openai.BadRequestError) as caught:
        ask(stack, "refuse")
    assert caught.value.param == "max_output_tokens"
    jobs = stack.http("GET", "/v1/jobs?status=failed&limit=1").body["data"]
    assert ask_again(stack, jobs[0]["id"]).error.code == "invalid_prompt"


def ask_again(stack: Stack, response_id: str) -> Any:
    client: Any = stack.client(_strict_response_validation=True)
    return client.responses.retrieve(response_id)


def test_parse(stack: Stack) -> None:
    """`responses.parse` gives the client's own type."""

    class City(BaseModel):
        name: str
        people: int

    stack.simulator.add_rule({"json": {"name": "Bern", "people": 134591}})
    found = stack.client().responses.parse(model="sonnet", input="a city", text_format=City)
    assert found.output_parsed == City(name="Bern", people=134591)


def test_a_conversation(stack: Stack) -> None:
    """`previous_response_id` replays what was said; instructions are not carried over; 404 for what is not stored."""
    stack.simulator.add_rule({"text": "I'll remember 42."}, times=1)
    first = ask(stack, "remember 42", instructions="only once")
    second = ask(stack, "what was it?", previous_response_id=first.id)
    third = ask(stack, "really?", previous_response_id=second.id, store=False)
    (sent,) = stack.asked("really?")
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert "remember 42" in json.dumps(sent["messages"][0])
    assert "I'll remember 42." in json.dumps(sent["messages"][1])
    assert "only once" not in json.dumps(sent)
    items = list(stack.client().responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in items] == ["message"] * 3
    with pytest.raises(openai.NotFoundError) as caught:
        ask(stack, "and now?", previous_response_id=third.id)
    assert caught.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        ask_again(stack, third.id)


def test_items_are_referred_to(stack: Stack) -> None:
    """Answers, calls and inputs of stored responses, by their ids alone: as the AI SDK sends the second turn of a chat."""
    stack.simulator.add_rule({"text": "I'll remember 43."}, times=1)
    first = ask(stack, "remember 43")
    items: Any = [
        {"role": "user", "content": "remember 43"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "what was 43 again?"},
    ]
    second = ask(stack, items)
    (sent,) = stack.asked("what was 43 again?")
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert "I'll remember 43." in json.dumps(sent["messages"][1])
    listed = list(stack.client().responses.input_items.list(second.id, order="asc"))
    ask(stack, [{"type": "item_reference", "id": item.id} for item in listed])
    assert len(stack.asked("what was 43 again?")) == 2
    for unknown in ("msg_none", first.output[0].id.replace(first.output[0].id[-4:], "0000"), f"fc_{first.id[5:]}_0"):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(stack, [{"role": "user", "content": "hi"}, {"type": "item_reference", "id": unknown}])
        assert (caught.value.code, caught.value.param) == ("item_not_found", "input[1]")


def test_a_function_gives_an_image_and_a_file(stack: Stack) -> None:
    """`output` is a list of parts, as the clients type it, and reaches the model as such."""
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    output = [
        {"type": "input_text", "text": "seen"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        {"type": "input_file", "file_data": "data:text/plain,hello", "filename": "a.txt"},
    ]
    ask(
        stack,
        [{"role": "user", "content": "look about"}, call, {**call, "type": "function_call_output", "output": output}],
    )
    (sent,) = stack.asked("look about")
    (result,) = sent["messages"][-1]["content"]
    assert [part["type"] for part in result["content"]] == ["text", "image", "document"]
    assert result["content"][1]["source"]["media_type"] == "image/png"


def test_a_function_and_its_result(stack: Stack) -> None:
    """A call is an item; its result goes back with the whole conversation, or on top of the response."""
    stack.simulator.add_rule({"tool_calls": [{"name": "get_weather", "input": {"city": "Bern"}}]}, times=1)
    first = ask(stack, "weather?", tools=[WEATHER])
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Bern"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    stack.simulator.add_rule({"text": "It is sunny."})
    by_id = ask(stack, [result], previous_response_id=first.id, tools=[WEATHER])
    whole: list[Any] = [{"role": "user", "content": "weather?"}, *first.output, result]
    by_items = ask(stack, whole, tools=[WEATHER])
    assert by_id.output_text == by_items.output_text == "It is sunny."
    for sent in stack.asked()[-2:]:
        assert sent["messages"][-1]["content"][0]["type"] == "tool_result"
        assert sent["messages"][-2]["content"][-1]["type"] == "tool_use"


def test_only_some_functions_are_allowed(stack: Stack) -> None:
    """Claude is offered those alone, and has an earlier call of another one before it; the choice is repeated as it was sent."""
    news = {**WEATHER, "name": "get_news"}
    first = ask(stack, "weather?", tools=[WEATHER, news], tool_choice="required")
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_news"}]}
    found = ask(stack, [result], previous_response_id=first.id, tools=[WEATHER, news], tool_choice=choice)
    assert "sunny" in found.output_text
    assert found.tool_choice.model_dump() == choice
    sent = stack.asked("sunny")[0]
    assert [tool["name"] for tool in sent["tools"]] == ["mcp__client__get_news"]
    assert sent["messages"][1]["content"][0]["name"] == "mcp__client__get_weather"


def test_the_stream(stack: Stack) -> None:
    """Events in OpenAI's order, numbered from 0, whose deltas make the text, and no `[DONE]`."""
    stack.simulator.add_rule({"text": WORDS, "held": True, "hang_after_deltas": 3}, tokens_per_second=100)
    events = read_held(stack, ask(stack, "slowly", stream=True), "response.output_text.delta")
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas >= 2
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(by_type(events)["response.output_text.delta"][n].delta for n in range(deltas)) == WORDS
    assert events[-1].response.output_text == WORDS
    assert events[-1].response.output[0] == events[-2].item
    validate = openai_schema("ResponseStreamEvent")
    for event in events:
        validate(event.to_dict())


def test_the_stream_helper(stack: Stack) -> None:
    """`client.responses.stream` puts text and calls together as they were."""
    stack.simulator.add_rule({"tool_calls": [{"name": "get_weather", "input": {"city": "Bern"}}]}, times=1)
    client: Any = stack.client(_strict_response_validation=True)
    with client.responses.stream(model="sonnet", input="weather?", tools=[WEATHER]) as stream:
        arguments = "".join(event.delta for event in stream if event.type == "response.function_call_arguments.delta")
        response = stream.get_final_response()
    assert json.loads(arguments) == {"city": "Bern"}
    assert response.output[-1].parsed_arguments == {"city": "Bern"}


def test_arguments_come_as_they_are_written(stack: Stack) -> None:
    """Of a function that is not strict the arguments come piece by piece."""
    stack.simulator.add_rule(
        {
            "tool_calls": [{"name": "get_weather", "input": {"city": "Bern " * 20}}],
            "held": True,
            "hang_after_deltas": 3,
        },
        tokens_per_second=50,
    )
    stream = ask(stack, "weather?", tools=[{**WEATHER, "strict": False}], stream=True)
    events = by_type(read_held(stack, stream, "response.function_call_arguments.delta"))
    deltas = events["response.function_call_arguments.delta"]
    assert len(deltas) >= 2
    (done,) = events["response.function_call_arguments.done"]
    assert "".join(event.delta for event in deltas) == done.arguments
    assert json.loads(done.arguments) == {"city": "Bern " * 20}


def test_an_answer_that_breaks_off(stack: Stack) -> None:
    """It ends with `response.failed`, after the text so far, and is not begun again."""
    fault = {"stream_error": {"after_deltas": 5}, "held": True, "hang_after_deltas": 2}
    stack.simulator.add_rule({"text": WORDS, **fault}, tokens_per_second=100)
    events = by_type(read_held(stack, ask(stack, "break off", stream=True), "response.output_text.delta"))
    assert "response.output_text.delta" in events
    (failed,) = events["response.failed"]
    assert (failed.response.status, failed.response.error.code) == ("failed", "server_error")
    assert len(stack.asked("break off")) == 1


def test_the_background(stack: Stack) -> None:
    """At once, before there is an answer; polled until it is completed; then deleted, and gone."""
    stack.simulator.add_rule({"text": "done at last"}, latency_ms=500)
    begun = ask(stack, "take your time", background=True)
    assert (begun.background, begun.output) == (True, [])
    # A worker that has nothing else to do may have taken it already.
    assert begun.status in ("queued", "in_progress")
    found = finished(stack, begun.id)
    assert (found.status, found.output_text, found.background) == ("completed", "done at last", True)
    stack.client().responses.delete(found.id)
    with pytest.raises(openai.NotFoundError):
        ask_again(stack, found.id)


def test_cancelling(stack: Stack) -> None:
    """A background response is cancelled for good; one that is waited for can't be."""
    stack.simulator.add_rule({"text": "too late"}, latency_ms=60_000, match={"contains": "for ever"})
    response_id = ask(stack, "for ever", background=True).id
    wait_until(lambda: bool(stack.asked("for ever")), "the run")
    client: Any = stack.client(_strict_response_validation=True)
    assert client.responses.cancel(response_id).status == "cancelled"
    assert client.responses.cancel(response_id).status == "cancelled"
    assert ask_again(stack, response_id).status == "cancelled"
    plain = ask(stack, "plain")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(plain.id)


def test_a_background_stream_is_taken_up_again(stack: Stack) -> None:
    """Leaving it ends nothing; from any event on, while it runs and afterwards, the rest is there exactly once."""
    stack.simulator.add_rule({"text": WORDS, "held": True, "hang_after_deltas": 6}, tokens_per_second=100)
    client: Any = stack.client()
    stream = ask(stack, "read me twice", background=True, stream=True)
    read = []
    for event in stream:
        read.append(event)
        if "word3" in "".join(one.delta for one in read if one.type == "response.output_text.delta"):
            break
    stream.close()
    response_id, last = read[0].response.id, read[-1].sequence_number
    running = client.responses.retrieve(response_id, stream=True, starting_after=last)
    stack.simulator.clear_rules()
    rest = list(running)
    assert rest[-1].type == "response.completed"
    text = "".join(one.delta for one in [*read, *rest] if one.type == "response.output_text.delta")
    assert text == WORDS
    again = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    assert "".join(one.delta for one in [*read, *again] if one.type == "response.output_text.delta") == WORDS
    assert [one.sequence_number for one in again][-4:] == [one.sequence_number for one in rest][-4:]
    assert finished(stack, response_id).output_text == WORDS


@pytest.mark.parametrize(
    "fields", [{}, {"background": True}, {"tools": [WEATHER]}, {"text": {"format": {"type": "json_object"}}}]
)
def test_openai_would_say_so(stack: Stack, fields: dict[str, Any]) -> None:
    """Every response object, and the list of its input, is one by OpenAI's own schema."""
    stack.simulator.add_rule({"json": {"a": 1}} if "text" in fields else {"text": "x"})
    validate = openai_schema("Response")
    made = stack.http("POST", "/v1/responses", {"model": "sonnet", "input": "check", **fields}).body
    validate(made)
    wait_until(lambda: stack.http("GET", f"/v1/responses/{made['id']}").body["status"] == "completed", "an end")
    validate(stack.http("GET", f"/v1/responses/{made['id']}").body)
    openai_schema("ResponseItemList")(stack.http("GET", f"/v1/responses/{made['id']}/input_items").body)
