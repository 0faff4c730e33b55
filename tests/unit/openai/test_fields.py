"""The table of request fields, and that the code follows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.errors import ErrorReply
from app.openai.accept import accept
from app.openai.chat_request import ChatRequest
from app.openai.fields import FIELDS, Decision, decide
from app.settings import Settings
from tests.openai_schema import described

TOOL = {"type": "function", "function": {"name": "f"}}


def test_table_and_request_agree() -> None:
    """What the table lets through is what the request knows, and nothing else."""
    passed = {name for name, field in FIELDS.items() if field.decision in (Decision.HONOURED, Decision.MAPPED)}
    assert passed == set(ChatRequest.model_fields)


def test_every_field_of_openais_is_decided() -> None:
    """No parameter that OpenAI's description has is missing from the table."""
    found = described("CreateModelResponseProperties", "ModelResponseProperties", "CreateChatCompletionRequest")
    assert found - set(FIELDS) == set()


def test_the_page_is_up_to_date() -> None:
    """What `scripts/fields-table` would write is what docs/openai-compatibility.md has."""
    script = Path(__file__).parents[3] / "scripts" / "fields-table"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fields", "is_ignored"),
    [
        ({}, False),
        ({"response_format": {"type": "json_object"}}, True),
        ({"tools": [TOOL]}, False),
        ({"tools": [TOOL], "tool_choice": "required"}, True),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            },
            False,
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
            },
            True,
        ),
    ],
)
def test_an_effort_that_can_not_be_made_is_named(fields: dict[str, Any], is_ignored: bool) -> None:
    """What is forced is given without thinking, and the client is told."""
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "x"}], "reasoning_effort": "high", **fields}
    assert ("reasoning_effort" in accept(body, Settings()).ignored) is is_ignored


def test_every_field_has_a_note() -> None:
    """The documentation has something to say of each."""
    assert all(field.note for field in FIELDS.values())


@pytest.mark.parametrize(
    "body",
    [
        {"logprobs": True},
        {"top_logprobs": 2},
        {"audio": {"voice": "alloy"}},
        {"modalities": ["text", "audio"]},
        {"functions": [{"name": "f"}]},
        {"function_call": "auto"},
        {"web_search_options": {"a": 1}},
        {"moderation": {"model": "m"}},
        {"prediction": {"type": "content"}},
        {"logit_bias": {"1": 2}},
        {"presence_penalty": 0.1},
        {"frequency_penalty": -1},
    ],
)
def test_refused(body: dict[str, Any]) -> None:
    """A field that can't be heeded is a 400 that names it."""
    with pytest.raises(ErrorReply) as caught:
        decide(body)
    assert caught.value.status == 400
    assert caught.value.param == next(iter(body))
    assert caught.value.code in ("unsupported_value", "unsupported_parameter")


@pytest.mark.parametrize(
    "body",
    [
        {"logprobs": False},
        {"top_logprobs": 0},
        {"audio": None},
        {"modalities": ["text"]},
        {"functions": []},
        {"logit_bias": {}},
        {"presence_penalty": 0},
        {"frequency_penalty": 0.0},
        {"temperature": None},
    ],
)
def test_asks_for_nothing(body: dict[str, Any]) -> None:
    """A refused field whose value asks for nothing is no reason to refuse, nor to mention it."""
    assert decide(body) == ({}, [])


def test_ignored() -> None:
    """What has no effect is named, known or not."""
    body = {"model": "m", "seed": 1, "user": "u", "ignore_eos": True, "foo": None}
    assert decide(body) == ({"model": "m"}, ["seed", "user", "ignore_eos"])
