"""Several completions of one request become one with so many choices."""

from __future__ import annotations

from typing import Any

from app import errors
from app.openai.payload import merged
from app.outcome import Outcome


def completion(text: str, tokens: int, *, attempts: int = 1, cost: str | None = "0.250000") -> Outcome:
    body: dict[str, Any] = {
        "id": "chatcmpl-1-0",
        "object": "chat.completion",
        "model": "claude-test",
        "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop", "logprobs": None}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": tokens,
            "completion_tokens_details": {"reasoning_tokens": tokens // 2},
        },
        "service_tier": "flex",
    }
    headers = {"x-nightshift-attempts": str(attempts)} | ({"x-nightshift-cost-usd": cost} if cost else {})
    return Outcome(body=body, headers=headers)


def test_the_choices_are_numbered_and_added_up() -> None:
    """Index, usage with its details, cost: of all; id, model and tier: the request's; attempts: the most that one took."""
    found = merged([completion("a", 4), completion("b", 8, attempts=3), completion("c", 2)], "chatcmpl-1")
    assert found.body is not None
    assert [(one["index"], one["message"]["content"]) for one in found.body["choices"]] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
    ]
    assert found.body["usage"] == {
        "prompt_tokens": 30,
        "completion_tokens": 14,
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    assert (found.body["id"], found.body["model"], found.body["service_tier"]) == ("chatcmpl-1", "claude-test", "flex")
    assert found.headers == {"x-nightshift-attempts": "3", "x-nightshift-cost-usd": "0.750000"}


def test_a_cost_that_is_not_known_is_not_told() -> None:
    """A sum of what is known would be too little."""
    assert merged([completion("a", 4), completion("b", 4, cost=None)], "x").headers == {"x-nightshift-attempts": "1"}


def test_what_one_model_did_not_take_is_named_once() -> None:
    """The headers of all choices are those of the whole: fields without effect, and the ways by which answers came."""
    ignored = [("temperature, top_p", "cli"), ("", "cli"), ("temperature", "api")]
    outcomes = [
        Outcome(body=one.body, headers={**one.headers, "x-nightshift-ignored": names, "x-nightshift-way": way})
        for (names, way), one in zip(ignored, [completion("a", 4)] * 3, strict=True)
    ]
    headers = merged(outcomes, "x").headers
    assert (headers["x-nightshift-ignored"], headers["x-nightshift-way"]) == ("temperature, top_p", "api, cli")


def test_an_error_is_never_a_choice() -> None:
    """Should an answer be lost, the whole has failed; what the others cost was paid for it."""
    found = merged([completion("a", 4), Outcome(error=errors.internal()), completion("b", 4, cost=None)], "x")
    assert found == Outcome(error=errors.internal(), headers={"x-nightshift-cost-usd": "0.250000"})
    assert merged([completion("a", 4, cost=None), Outcome(error=errors.internal())], "x").headers == {}
