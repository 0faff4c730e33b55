"""The table of request fields, and that the code follows it."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ErrorReply
from app.openai.chat_request import ChatRequest
from app.openai.fields import FIELDS, Decision, decide


def test_table_and_request_agree() -> None:
    """What the table lets through is what the request knows, and nothing else."""
    passed = {
        name for name, field in FIELDS.items() if field.decision in (Decision.HONOURED, Decision.MAPPED)
    }
    assert passed == set(ChatRequest.model_fields)


def test_every_field_has_a_note() -> None:
    """The documentation has something to say of each."""
    assert all(field.note for field in FIELDS.values())


@pytest.mark.parametrize(
    "body",
    [
        {"n": 2},
        {"n": True},
        {"n": "1"},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"audio": {"voice": "alloy"}},
        {"modalities": ["text", "audio"]},
        {"functions": [{"name": "f"}]},
        {"function_call": "auto"},
        {"web_search_options": {"a": 1}},
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
        {"n": 1},
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
