"""A response request: its fields, its items, and the chat request that means the same."""

from __future__ import annotations

from typing import Any

import pytest

from app import errors
from app.errors import ErrorReply
from app.openai.fields import Decision
from app.openai.responses import objects
from app.openai.responses.accept import AcceptedResponse, accept
from app.openai.responses.as_chat import Places, chat_request, in_its_words
from app.openai.responses.request import RESPONSE_FIELDS, ResponseRequest
from app.settings import Settings
from tests.openai_schema import described, openai_schema

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def said(item_id: str, text: str, role: str = "user") -> dict[str, Any]:
    """An item as it is stored."""
    kind = "input_text" if role == "user" else "output_text"
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}


class Earlier:
    """What is stored: one response, `resp_1`, and one answer, `msg_1`."""

    def conversation(self, _: str) -> list[dict[str, Any]]:
        return [said("msg_0", "before"), said("msg_1", "answered", "assistant")]

    def item(self, item_id: str) -> dict[str, Any]:
        if item_id != "msg_1":
            raise errors.not_found("there is none")
        return said("msg_1", "answered", "assistant")


def read(given: Any = "hi", **fields: Any) -> AcceptedResponse:
    return accept({"model": "sonnet", "input": given, **fields}, Settings(), Earlier())


def chat(given: Any = "hi", **fields: Any) -> dict[str, Any]:
    return chat_request(read(given, **fields).payload["response"])


def refused(given: Any = "hi", **fields: Any) -> ErrorReply:
    with pytest.raises(ErrorReply) as caught:
        read(given, **fields)
    return caught.value


def test_table_and_request_agree() -> None:
    """What the table lets through is what the request knows, and each row says why."""
    passed = {n for n, f in RESPONSE_FIELDS.items() if f.decision in (Decision.HONOURED, Decision.MAPPED)}
    assert passed == set(ResponseRequest.model_fields)
    assert all(field.note for field in RESPONSE_FIELDS.values())


def test_every_field_of_openais_is_decided() -> None:
    """No parameter that OpenAI's description has is missing from the table."""
    found = described(
        "CreateModelResponseProperties", "ModelResponseProperties", "ResponseProperties", "CreateResponse"
    )
    assert found - set(RESPONSE_FIELDS) == set()


def test_a_text() -> None:
    """A text is a user's message; instructions stand above it."""
    assert chat(instructions="be brief")["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]


def test_items() -> None:
    """Each kind of item is the message that means the same, and is listed as OpenAI lists it."""
    given = [
        {"role": "developer", "content": "rules"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I see", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "result"},
    ]
    accepted = read(given)
    assert accepted.ignored == ["input[].reasoning"]
    assert chat(given)["messages"] == [
        {"role": "developer", "content": "rules"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}},
                {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
            ],
        },
        {"role": "assistant", "content": "I see"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "result"},
    ]
    validate = openai_schema("ItemResource")
    for item in accepted.payload["response"]["input"]:
        validate(item)


def test_what_is_asked_of_the_answer() -> None:
    """Formats, tools, caps and effort have the chat request's names."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False, "description": "d"}
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}
    found = chat(
        tools=[tool],
        tool_choice={"type": "function", "name": "f"},
        text={"format": schema},
        max_output_tokens=5,
        reasoning={"effort": "low"},
        parallel_tool_calls=False,
    )
    assert found["tools"] == [{"type": "function", "function": {n: v for n, v in tool.items() if n != "type"}}]
    assert found["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert found["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
    }
    assert (found["max_completion_tokens"], found["reasoning_effort"], found["parallel_tool_calls"]) == (
        5,
        "low",
        False,
    )


def test_some_of_the_tools() -> None:
    """Which are allowed has the chat request's words; the response repeats the client's."""
    tools = [{"type": "function", "name": name} for name in "fgh"]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    accepted = read(tools=tools, tool_choice=choice)
    assert chat_request(accepted.payload["response"])["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
    }
    assert accepted.payload["response"]["tool_choice"] == choice
    assert accepted.ignored == []


def test_a_conversation_goes_on() -> None:
    """What came before stands before the new items; the whole is kept."""
    accepted = read("and now?", previous_response_id="resp_1")
    texts = [item["content"][0]["text"] for item in accepted.payload["response"]["input"]]
    assert texts == ["before", "answered", "and now?"]


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        ([], {}, "input"),
        (7, {}, "input"),
        ([{"type": "computer_call", "id": "x"}], {}, "input[0]"),
        (
            [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}],
            {},
            "input[0].content[0].image_url",
        ),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], {}, "input[0].content[0]"),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/"}]}],
            {},
            "input[0].content[0].image_url",
        ),
        ([{"type": "function_call_output", "call_id": "none", "output": "x"}], {}, "input[0].call_id"),
        ("hi", {"tools": [{"type": "web_search"}]}, "tools[0]"),
        ("hi", {"tools": [{"type": "function", "name": "f", "parameters": {"type": 7}}]}, "tools[0].parameters"),
        ("hi", {"tools": [{"type": "function", "name": "no spaces"}]}, "tools[0].name"),
        ("hi", {"tool_choice": "required"}, "tool_choice"),
        ("hi", {"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ("hi", {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice.tools"),
        ("hi", {"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}}, "tool_choice.mode"),
        (
            "hi",
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}},
            "tool_choice.tools[0]",
        ),
        (
            "hi",
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "name": "g"}]}},
            "tool_choice.tools[0].type",
        ),
        ("hi", {"text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": 7}}}}, "text.format.schema"),
        ("hi", {"text": {"format": {"type": "grammar"}}}, "text.format"),
        ("hi", {"max_output_tokens": 0}, "max_output_tokens"),
        ("hi", {"temperature": 3.0}, "temperature"),
        ("hi", {"background": True, "store": False}, "background"),
        ("hi", {"callback_url": "https://example.com/"}, "callback_url"),
        ("hi", {"include": ["message.output_text.logprobs"]}, "include"),
        ("hi", {"conversation": "conv_1"}, "conversation"),
        ("hi", {"prompt": {"id": "p"}}, "prompt"),
        ("hi", {"top_logprobs": 3}, "top_logprobs"),
        ("hi", {"metadata": {"a": "x" * 513}}, "metadata.a"),
    ],
)
def test_refused(given: Any, fields: dict[str, Any], param: str) -> None:
    """What can't be done is a 400 that names the parameter as this endpoint calls it."""
    error = refused(given, **fields)
    assert (error.status, error.param) == (400, param), error.message


def test_ignored() -> None:
    """What has no effect is named."""
    accepted = read(
        [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "high"}]}],
        user="u",
        truncation="auto",
        include=["reasoning.encrypted_content"],
        text={"verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        stream_options={"include_obfuscation": False},
        brand_new=1,
    )
    assert set(accepted.ignored) == {
        "input[].content[].detail",
        "user",
        "truncation",
        "include",
        "text.verbosity",
        "reasoning.summary",
        "stream_options",
        "brand_new",
    }


@pytest.mark.parametrize(
    "item", [{"type": {}}, {"type": []}, [None, None], 1, "text", None, {"role": {}}, {"role": []}]
)
def test_what_is_no_item(item: Any) -> None:
    """Whatever stands in the place of an item is a 400 that names the place."""
    with pytest.raises(ErrorReply) as caught:
        read([item])
    assert (caught.value.status, caught.value.param) == (400, "input[0]")


def test_references_are_the_items_they_name() -> None:
    """A stored item stands where it is referred to, with or without its type; its place in the conversation is kept."""
    given = [
        {"role": "user", "content": "before"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"role": "user", "content": "and now?"},
    ]
    accepted = read(given)
    assert [message["content"] for message in chat(given)["messages"]] == ["before", "answered", "answered", "and now?"]
    assert [item["id"] for item in accepted.payload["response"]["input"]][1:3] == ["msg_1", "msg_1"]


def test_a_reference_to_nothing_is_named() -> None:
    """A 404 that names the item's place in the request, also behind one that is left out."""
    error = refused([{"type": "reasoning", "summary": []}, {"type": "item_reference", "id": "msg_9"}])
    assert (error.status, error.param) == (404, "input[1]")


def test_results_may_have_images_and_files() -> None:
    """The output of a call is a text or parts, as a user's message has them."""
    parts = [
        {"type": "input_text", "text": "seen"},
        {"type": "input_image", "image_url": PIXEL},
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
    ]
    given = [
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": parts},
    ]
    assert chat(given)["messages"][2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": [
            {"type": "text", "text": "seen"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}},
            {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        ],
    }
    validate = openai_schema("ItemResource")
    for item in read(given).payload["response"]["input"]:
        validate(item)


@pytest.mark.parametrize(
    ("param", "named"),
    [
        ("messages[0].content", "instructions"),
        ("messages[1].content[0]", "previous_response_id"),
        ("messages[3].content[1].image_url.url", "input[1].content[1].image_url"),
        ("messages[3].content[1].file.file_data", "input[1].content[1].file_data"),
        ("messages[4].tool_calls[0].function.arguments", "input[2].arguments"),
        ("messages[4].tool_calls[0].id", "input[2].call_id"),
        ("messages[5].tool_call_id", "input[4].call_id"),
        ("messages[5].content[0].image_url", "input[4].output[0].image_url"),
        ("messages[9].content", "input"),
        ("messages", "input"),
        ("max_completion_tokens", "max_output_tokens"),
    ],
)
def test_a_message_is_named_as_the_item_that_it_was(param: str, named: str) -> None:
    """Instructions, items of earlier responses and items that are left out do not count."""
    given = [
        {"type": "reasoning", "summary": []},
        {"role": "user", "content": "look"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
    ]
    payload = read(given, instructions="be brief", previous_response_id="resp_1").payload
    places = Places(payload["response"], payload["places"])
    assert in_its_words(errors.invalid_request(f"'{param}' it is", param), places).param == named


def test_items_without_ids_get_the_responses_own() -> None:
    """So that each can be found again by its id, and no two have the same."""
    accepted = read(
        [
            {"role": "user", "content": "a"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": ""},
            {"id": "mine", "role": "user", "content": "b"},
        ]
    )
    found = [item["id"] for item in accepted.payload["response"]["input"]]
    assert found.pop() == "mine"
    assert len({*found, *(objects.own_part(accepted.id) in one for one in found)}) == 4
    assert [objects.origin_of(one) for one in found] == [(accepted.id, True)] * 3
    assert objects.origin_of(f"msg_{objects.own_part(accepted.id)}") == (accepted.id, False)
