"""The same request asks the Messages API the same, by Claude's CLI with a key and without it; what can't be is in one list."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.messages.request import CachePlan
from tests.integration.claude.conftest import bodies, settings_for
from tests.integration.messages_api.test_engine import asked
from workers.claude import CliEngine
from workers.messages_api import ApiEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import RunningSimulator
    from workers.engine import Engine

FUNCTIONS = [{"type": "function", "function": {"name": name, "description": "d"}} for name in ("f", "g")]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USER = {"role": "user", "content": "go"}
TALK = [USER, {"role": "assistant", "content": "ok"}, USER]
RESULT = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "3"},
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}
OLDER = {"model": "claude-sonnet-4-5"}
LONG = "a_function_with_a_name_of_sixty_four_letters_which_is_the_longest"[:64]
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Bern", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}


def schema_of(root: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": root, **fields}}


def call_of(name: str, number: int = 1, arguments: str = "{}") -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def result_of(number: int, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{number}", "content": content}


CASES: dict[str, dict[str, Any]] = {
    **{model: {"model": model} for model in ("sonnet", "opus", "haiku", "claude-sonnet-4-5", "claude-other-9")},
    "a cap, sampling, a stop sequence": {**OLDER, "max_tokens": 9, "temperature": 0, "stop": "END"},
    "a system text": {"messages": [{"role": "system", "content": "Be brief."}, USER]},
    "a conversation": {"messages": TALK},
    "functions": {"tools": FUNCTIONS},
    "a result": {"tools": FUNCTIONS, "messages": RESULT},
    "any function": {"tools": FUNCTIONS, "tool_choice": "required"},
    "one function": {"tools": FUNCTIONS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    "a schema": {"response_format": SCHEMA},
    "thinking": {"reasoning_effort": "high"},
    "thinking within a budget": {**OLDER, "reasoning_effort": "low"},
    "several system texts": {
        "messages": [{"role": "developer", "content": "A."}, {"role": "system", "content": "B."}, USER]
    },
    "a system text in mid-conversation": {"messages": [USER, {"role": "system", "content": "Now in verse."}, USER]},
    "a system text and functions": {"messages": [{"role": "system", "content": "Be brief."}, USER], "tools": FUNCTIONS},
    "parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    },
    "an image": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]}]},
    "an image in an earlier turn": {
        "messages": [{"role": "user", "content": [IMAGE]}, {"role": "assistant", "content": "a dot"}, USER]
    },
    "what is not ASCII": {
        "messages": [{"role": "user", "content": "\u00e9\u4e16 \U0001f600 \u2028 <tag> @/etc/hostname /clear"}]
    },
    "two of one role": {"messages": [USER, USER]},
    "a name": {"messages": [{**USER, "name": "ann"}]},
    "a refusal that was": {"messages": [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER]},
    "a cap by its newer name": {"max_completion_tokens": 50},
    "several stop sequences": {**OLDER, "stop": ["A", "B\n", "\n"]},
    "a temperature": {**OLDER, "temperature": 0.7},
    "an older model": {"model": "claude-opus-4-1"},
    "a dated model": {"model": "claude-haiku-4-5-20251001"},
    **{
        f"the longest answer of {model}": {"model": model}
        for model in (
            *("claude-opus-4-6", "claude-opus-4-8", "claude-opus-5", "claude-haiku-6", "claude-fable-5"),
            *("claude-sonnet-4-20250514", "claude-opus-4-20250514", "claude-other-5"),
            *("claude-3-7-sonnet-20250219", "claude-3-5-haiku-20241022", "claude-3-opus-20240229"),
        )
    },
    "a large context": {"model": "claude-sonnet-4-5[1m]"},
    "a function with all that it may have": {"tools": [{"type": "function", "function": WEATHER}]},
    "a function with a long name": {"tools": [{"type": "function", "function": {"name": LONG[:50]}}]},
    "functions and none to be called": {"tools": FUNCTIONS, "tool_choice": "none"},
    "functions, one at a time": {"tools": FUNCTIONS, "parallel_tool_calls": False},
    "one function, once": {
        "tools": FUNCTIONS,
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    },
    "several calls and results": {
        "tools": FUNCTIONS,
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": "Both.",
                "tool_calls": [call_of("f", 1), call_of("g", 2, '{"x": "\u00e9"}')],
            },
            result_of(1, "one"),
            result_of(2, [{"type": "text", "text": "two"}]),
            USER,
        ],
    },
    "a call of what is not offered any more": {
        "tools": FUNCTIONS,
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call_of("old")]}, result_of(1, "3")],
    },
    "any JSON": {"response_format": {"type": "json_object"}},
    "a list": {"response_format": schema_of({"type": "array", "items": {"type": "integer"}})},
    "a strict schema with definitions": {
        "response_format": schema_of(
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/A"}},
                "required": ["a"],
                "additionalProperties": False,
                "$defs": {"A": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}},
            },
            strict=True,
            description="What it is.",
        )
    },
    "a schema and functions": {"response_format": SCHEMA, "tools": FUNCTIONS},
    "a schema and a conversation": {"response_format": SCHEMA, "messages": TALK},
    **{f"thinking, {effort}": {"reasoning_effort": effort} for effort in ("low", "medium", "xhigh", "none")},
    **{
        f"thinking of {model}, {effort}": {"model": model, "reasoning_effort": effort}
        for model in ("claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7", "claude-other-9")
        for effort in ("medium", "xhigh", "max")
    },
    **{
        f"thinking of {model}": {"model": model, "reasoning_effort": "medium"}
        for model in (
            "claude-sonnet-4-20250514",
            "claude-opus-4-0",
            "claude-3-7-sonnet-20250219",
            "claude-3-haiku-20240307",
        )
    },
    "thinking and functions": {"tools": FUNCTIONS, "reasoning_effort": "medium"},
    "thinking within a budget and functions": {**OLDER, "tools": FUNCTIONS, "reasoning_effort": "high"},
    "thinking within a cap": {**OLDER, "reasoning_effort": "low", "max_tokens": 4000},
}


@pytest.fixture(scope="module")
def engines(
    _simulator_for_session: RunningSimulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    settings = settings_for(_simulator_for_session.base_url, tmp_path_factory.mktemp("both"))
    with CliEngine(settings, name="cli") as cli, ApiEngine(settings, name="api") as api:
        yield cli, api


def without_the_clis_own(body: dict[str, Any], *, has_effort: bool, has_sampling: bool) -> dict[str, Any]:
    """The whole list of differences: what the CLI adds to a request by itself, and its names of functions."""
    text = json.dumps(body).replace("mcp__client__", "").replace('"StructuredOutput"', '"give_answer"')
    found: dict[str, Any] = json.loads(text)
    del found["metadata"]  # ids of its device and session
    if found["system"][0]["text"].startswith("You are a Claude agent"):
        del found["system"]  # where the client gives none
    if found["tools"] == []:
        del found["tools"]
    if not has_effort:
        found.pop("output_config", None)  # its own default
    if not has_sampling:
        found.pop("temperature", None)  # 1, which is the API's default
    return found


def betas(entry: dict[str, Any]) -> set[str]:
    return set(filter(None, entry["headers"].get("anthropic-beta", "").split(",")))


@pytest.mark.parametrize("name", CASES)
def test_the_body_is_the_same(engines: tuple[Engine, Engine], simulator: RunningSimulator, name: str) -> None:
    """And so is the answer, text, calls and reason alike."""
    request = asked(**CASES[name]) if "messages" in CASES[name] else asked("go", **CASES[name])
    answers = [engine.ask(request, time.monotonic() + 30) for engine in engines]
    by_cli, by_api = bodies(simulator)
    of_cli, of_api = (betas(entry) for entry in simulator.control.requests())
    assert of_api <= of_cli
    assert of_cli - of_api <= {"claude-code-20250219", "interleaved-thinking-2025-05-14", "effort-2025-11-24"}
    own = without_the_clis_own(by_cli, has_effort=request.thinking is not None, has_sampling=bool(request.sampling))
    assert by_api == own
    one, two = ((a.text, a.stop_reason, a.model, [c.input for c in (*a.tool_calls, *a.value_calls)]) for a in answers)
    assert one == two


@pytest.mark.parametrize("cache", [{"ttl": "5m", "blocks": 2}, {"ttl": "5m", "characters": 1}, {"ttl": ""}])
def test_a_batch_s_line_is_marked_alike(
    engines: tuple[Engine, Engine], simulator: RunningSimulator, cache: dict[str, Any]
) -> None:
    """By either way up to where all lines of the batch begin alike, and no more."""
    request = replace(asked(messages=[{"role": "system", "content": "Be brief."}, *TALK]), cache=CachePlan(**cache))
    for engine in engines:
        engine.ask(request, time.monotonic() + 30)
    by_cli, by_api = bodies(simulator)
    assert by_api == without_the_clis_own(by_cli, has_effort=False, has_sampling=False)
    assert str(by_api).count("cache_control") == (2 if cache["ttl"] else 0)
