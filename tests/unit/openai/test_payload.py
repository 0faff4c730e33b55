"""What each endpoint's jobs carry, as the chat request that means the same, and the answer as the endpoint's own object."""

from __future__ import annotations

from typing import Any

import pytest

from app import errors
from app.jobs.record import JobRecord, Status
from app.openai.payload import answers, as_asked, as_chat_payload
from app.outcome import Outcome

RECORD = JobRecord(id="j", kind="k", status=Status.IN_PROGRESS, model="haiku", created_at=1, deadline_at=2)
COMPLETION: dict[str, Any] = {
    "id": "j",
    "object": "chat.completion",
    "created": 1,
    "model": "claude-test",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "text"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
PROMPTS = {"claude_model": "haiku", "completion": {"model": "m", "prompt": ["a", "b"], "n": 2, "echo": True}}
RESPONSE = {"claude_model": "haiku", "response": {"model": "m", "input": [], "temperature": 0.2, "top_p": 0.9}}


@pytest.mark.parametrize(
    ("payload", "number"),
    [({"request": {"messages": []}}, 1), ({"request": {"n": 3}}, 3), (RESPONSE, 1), (PROMPTS, 4)],
)
def test_how_many_answers_a_request_wants(payload: dict[str, Any], number: int) -> None:
    """`n` to each prompt; a response has one."""
    assert answers(payload) == number


def test_each_answer_has_its_prompt() -> None:
    """The first `n` answers are to the first prompt, and each echoes its own."""
    asked = [as_chat_payload(PROMPTS, number)["request"]["messages"] for number in range(4)]
    assert [messages[0]["content"] for messages in asked] == ["a", "a", "b", "b"]
    made = [as_asked(Outcome(body=COMPLETION), PROMPTS, RECORD, number).body for number in (1, 2)]
    assert [body["choices"][0]["text"] for body in made if body] == ["atext", "btext"]


@pytest.mark.parametrize(("number", "param"), [(0, "prompt[0]"), (3, "prompt[1]")])
def test_an_error_names_the_prompt(number: int, param: str) -> None:
    """What is wrong with a message of the chat request is wrong with the prompt that it was made of."""
    error = errors.invalid_request("Invalid 'messages[0].content': no", param="messages[0].content")
    found = as_asked(Outcome(error=error), PROMPTS, RECORD, number).error
    assert found is not None
    assert (found.param, found.message) == (param, f"Invalid '{param}': no")


def test_sampling_that_was_not_used_is_not_shown() -> None:
    """A response has the sampling that the model was asked with: Claude's own where it took none."""
    for ignored, used in (({}, (0.2, 0.9)), ({"x-nightshift-ignored": "temperature, top_p"}, (1, 1))):
        body = as_asked(Outcome(body=COMPLETION, headers=ignored), RESPONSE, RECORD).body
        assert body is not None
        assert (body["temperature"], body["top_p"]) == used
