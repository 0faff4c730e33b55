"""Parsing chat requests: what is taken, and how what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.messages import to_claude
from app.openai.accept import accept, take_extras
from app.openai.chat_request import ChatRequest
from app.openai.faults import from_validation
from app.settings import Settings

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PIXEL = "data:image/png;base64,AAAA"


def allowed(*names: str, mode: str = "auto") -> dict[str, Any]:
    """A choice of some functions."""
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def fault(**fields: Any) -> tuple[str | None, str | None]:
    """The `param` and `code` of the error."""
    body = {"model": "m", "messages": [USER], **fields}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(body)
    error = from_validation(caught.value, body)
    assert error.status == 400
    assert len(error.message) <= 500
    return error.param, error.code


def as_kept(request: ChatRequest) -> dict[str, Any]:
    """What of it is the job's payload."""
    return request.model_dump(mode="json", by_alias=True, exclude_unset=True)


@pytest.mark.parametrize(
    "fields",
    [
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "developer", "content": "d"},
                USER,
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:,"}}]}]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
            ]
        },
        {"messages": [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]},
        {"max_tokens": 5, "max_completion_tokens": 6, "temperature": 0, "top_p": 1, "stop": ["a", "b"]},
        {
            "stop": "x",
            "reasoning_effort": "low",
            "store": True,
            "metadata": {"a": "b"},
            "parallel_tool_calls": False,
        },
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}},
            }
        },
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": allowed("f")},
        {"tool_choice": "none"},
    ],
)
def test_taken_whole(fields: dict[str, Any]) -> None:
    """What is taken reaches the worker as it was sent, and is read back there as the same request."""
    body = {"model": "m", "messages": [USER], **fields}
    request = ChatRequest.model_validate(body)
    assert take_extras(request) == []
    assert as_kept(request) == body
    assert ChatRequest.model_validate(as_kept(request)) == request


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [5]}, "messages[0]", "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]", "invalid_value"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content[0].file.file_data",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"top_p": -1}, "top_p", "invalid_value"),
        ({"stop": [1]}, "stop[0]", "invalid_type"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": ["a"] * 17}, "stop", "invalid_value"),
        ({"metadata": {"a": 5}}, "metadata.a", "invalid_type"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "objekt"}},
                }
            },
            "response_format.json_schema.schema",
            "invalid_value",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 5}}}]},
            "tools[0].function.parameters",
            "invalid_value",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice", "invalid_value"),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
        ({"tools": [TOOL], "tool_choice": allowed("f", "g")}, "tool_choice.allowed_tools.tools[1]", "invalid_value"),
        ({"tool_choice": allowed("f")}, "tool_choice.allowed_tools.tools[0]", "invalid_value"),
        ({"tools": [TOOL], "tool_choice": allowed()}, "tool_choice.allowed_tools.tools", "invalid_value"),
        (
            {"tools": [TOOL], "tool_choice": allowed("f", mode="none")},
            "tool_choice.allowed_tools.mode",
            "invalid_value",
        ),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools", "missing_required_parameter"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
    ],
)
def test_fault_is_named(fields: dict[str, Any], param: str, code: str) -> None:
    """What is wrong is named as OpenAI spells it."""
    assert fault(**fields) == (param, code)


def test_missing_messages() -> None:
    """A field that must be there is named as missing."""
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"model": "m"})
    error = from_validation(caught.value, {"model": "m"})
    assert (error.param, error.code) == ("messages", "missing_required_parameter")


def test_fault_does_not_repeat_the_request() -> None:
    """An error says where, and does not quote what was sent: answers end up in logs."""
    body = {"model": "m", "messages": [{"role": "user", "content": {"secret": "hunter2"}}]}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(body)
    assert "hunter2" not in from_validation(caught.value, body).message


def test_extras_are_taken_out_and_named() -> None:
    """Unknown fields at any depth don't reach the worker; those that asked for something are named."""
    message = {**USER, "cache_control": {"type": "ephemeral"}, "annotations": None}
    request = ChatRequest.model_validate(
        {"model": "m", "messages": [message, message], "tools": [{**TOOL, "priority": 1}]}
    )
    assert take_extras(request) == ["messages[].cache_control", "tools[].priority"]
    assert as_kept(request) == {"model": "m", "messages": [USER, USER], "tools": [TOOL]}


def test_known_fields_without_effect_are_named() -> None:
    """Who speaks and how sharply to look has no meaning for Claude; what asks for nothing is not worth a word."""
    sharp = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}}
    plain = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}}
    messages = [{**USER, "name": "Ann"}, {"role": "user", "content": [plain, sharp]}]
    request = ChatRequest.model_validate({"model": "m", "messages": messages})
    assert take_extras(request) == ["messages[].content[].image_url.detail", "messages[].name"]
    request = ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": [plain]}]})
    assert take_extras(request) == []


def test_schema_properties_are_no_extras() -> None:
    """A schema is the client's own, whatever is in it."""
    schema = {"type": "object", "x-mine": 1, "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {}}}
    body = {
        "model": "m",
        "messages": [USER],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema, "strict": True},
        },
    }
    request = ChatRequest.model_validate(body)
    assert take_extras(request) == []
    assert as_kept(request) == body


def test_output_cap() -> None:
    """Of the two names for the cap the smaller value counts."""
    caps: tuple[tuple[dict[str, int], int | None], ...] = (
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 3}, 3),
    )
    for fields, cap in caps:
        payload = accept({"model": "sonnet", "messages": [USER], **fields}, Settings()).payload
        assert to_claude(payload).max_tokens == cap
