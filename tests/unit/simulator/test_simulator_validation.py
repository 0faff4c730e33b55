"""Requests that the Messages API refuses."""

from typing import Any

import pytest

from simulator.errors import ApiError
from simulator.validation import check_request

GOOD: dict[str, Any] = {"model": "claude-x", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("model", ["claude-opus-4-5", "sonnet", "opus[1m]", "simulated-claude-x"])
def test_known_models_pass(model: str) -> None:
    """Full names, aliases and simulated names are models."""
    assert check_request({**GOOD, "model": model})["model"] == model


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "unknown-model"}, 404, "model: unknown-model"),
        ({"model": None}, 400, "model: Field required"),
        ({"max_tokens": None}, 400, "max_tokens: Field required"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, 400, "non-empty"),
        ({"temperature": 1.5}, 400, "temperature"),
        ({"stop_sequences": [" "]}, 400, "non-whitespace"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, 400, "'f' not found"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 400, "must be greater"),
        ({"thinking": {"type": "adaptive"}, "temperature": 0}, 400, "temperature"),
        ({"thinking": {"type": "adaptive"}, "tools": [{"name": "f"}], "tool_choice": {"type": "any"}}, 400, "forces"),
    ],
)
def test_refused_requests(change: dict[str, Any], status: int, said: str) -> None:
    """Each is refused with the documented status and a message that names the field."""
    with pytest.raises(ApiError, match=said) as caught:
        check_request({**GOOD, **change})
    assert caught.value.status == status


def test_interleaved_thinking_may_have_a_larger_budget() -> None:
    """With the beta of interleaved thinking, which the CLI sends, the budget may exceed max_tokens."""
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert check_request({**GOOD, "thinking": thinking}, beta="interleaved-thinking-2025-05-14")
