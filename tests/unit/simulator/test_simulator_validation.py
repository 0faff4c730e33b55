"""Requests that the Messages API refuses."""

import base64
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
        ({"thinking": {"type": "adaptive"}, "top_p": 0.9}, 400, "top_p"),
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


def _image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def _png(width: int = 1, height: int = 1) -> bytes:
    """The beginning of a PNG of that size."""
    sides = width.to_bytes(4) + height.to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + b"IHDR" + sides + b"\x08\x02\x00\x00\x00"


JPEG = b"\xff\xd8\xff\xe0" + b"0" * 20


def _call(*ids: str) -> dict[str, Any]:
    blocks = [{"type": "tool_use", "id": one, "name": "f", "input": {}} for one in ids]
    return {"role": "assistant", "content": blocks}


def _result(*ids: str, before: str = "") -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": before}] if before else []
    return {"role": "user", "content": blocks + [{"type": "tool_result", "tool_use_id": one} for one in ids]}


ASK = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": " \n"}], "non-whitespace"),
        ([{"role": "user", "content": [{"type": "text", "text": "\t"}]}], "non-whitespace"),
        ([{"role": "system", "content": "hi"}], "messages.0.role"),
        ([ASK, _call("a"), ASK], "messages.1: `tool_use` ids were found without `tool_result` blocks .* a"),
        ([ASK, _call("a", "b"), _result("b")], "messages.1: `tool_use` ids .* a. Each"),
        ([ASK, _call("a"), _result("a", before="first")], "messages.1: `tool_use` ids .* a. Each"),
        ([ASK, _result("a")], "messages.1.content.0: unexpected `tool_use_id`"),
        ([ASK, _call("a"), _result("a"), _result("a")], "messages.3.content.0: unexpected `tool_use_id`"),
        ([ASK, _call("a"), _result("a", "a")], "single result"),
        ([ASK, _call("a"), _result("a"), _call("a"), _result("a")], "must be unique"),
        ([{"role": "user", "content": [_image(_png(), "image/jpg")]}], "media_type: Input should be"),
        ([{"role": "user", "content": [_image(JPEG)]}], "appears to be a image/jpeg image"),
        ([{"role": "user", "content": [_image(b"no image at all")]}], "Could not process image"),
        ([{"role": "user", "content": [_image(_png()[:8])]}], "Could not process image"),
        ([{"role": "user", "content": [_image(_png(8001, 1))]}], "8000 pixels"),
        (
            [
                ASK,
                _call("a"),
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": " "}]}
                    ],
                },
            ],
            "non-whitespace",
        ),
        ([ASK, {"role": "assistant", "content": "It is "}], "trailing whitespace"),
    ],
)
def test_refused_conversations(messages: list[dict[str, Any]], said: str) -> None:
    """Each is a 400 that says where, as far as the API does."""
    with pytest.raises(ApiError, match=said) as caught:
        check_request({**GOOD, "messages": messages})
    assert caught.value.status == 400


def test_a_conversation_with_calls_results_and_images_passes() -> None:
    """Results come first and in any order, images may be results, and the next call has another id."""
    shown = {"type": "tool_result", "tool_use_id": "a", "content": [_image(JPEG, "image/jpeg")]}
    answered = {"role": "user", "content": [*_result("b")["content"], shown, {"type": "text", "text": "and now?"}]}
    check_request({**GOOD, "messages": [ASK, _call("a", "b"), answered, _call("c"), _result("c")]})


@pytest.mark.parametrize(
    ("model", "sampling", "said"),
    [
        ("claude-opus-4-0", {"temperature": 0, "top_p": 0.5}, None),
        ("claude-sonnet-4-20250514", {"temperature": 0, "top_p": 0.5}, None),
        ("claude-opus-4-1-20250805", {"temperature": 0, "top_p": 0.5}, "cannot both"),
        ("claude-haiku-4-5", {"temperature": 0}, None),
        ("claude-sonnet-4-6", {"top_p": 0.5}, None),
        ("claude-sonnet-4-6", {"temperature": 1, "top_p": 1}, "cannot both"),
        ("claude-opus-4-7", {"temperature": 0}, "`temperature` is deprecated"),
        ("claude-sonnet-5", {"top_p": 1}, "`top_p` is deprecated"),
        ("claude-opus-5-5", {"temperature": 1}, None),
    ],
)
def test_newer_models_refuse_sampling(model: str, sampling: dict[str, Any], said: str | None) -> None:
    """From 4.1 on not both, from 4.7 on neither, but for a temperature of 1."""
    request = {**GOOD, "model": model, **sampling}
    if said is None:
        check_request(request)
        return
    with pytest.raises(ApiError, match=said):
        check_request(request)


@pytest.mark.parametrize(("model", "passes"), [("claude-sonnet-4-5", True), ("claude-sonnet-4-6", False)])
def test_newer_models_refuse_a_begun_answer(model: str, passes: bool) -> None:
    """A conversation that ends with the assistant is a 400 from the 4.6 models on."""
    request = {**GOOD, "model": model, "messages": [ASK, {"role": "assistant", "content": "It is"}]}
    if passes:
        check_request(request)
        return
    with pytest.raises(ApiError, match="does not support assistant message prefill"):
        check_request(request)
