"""What a client reads of an error is fit for an API: the CLI's advice to somebody at a terminal is none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.after_failure import callers_fault
from workers.claude import ClaudeInvoker, FailureKind, TurnFailed

if TYPE_CHECKING:
    from simulator.process import RunningSimulator
    from tests.integration.claude.conftest import Make

#: status and words of the API, and words that ours have
ERRORS = [
    (400, "prompt is too long: 210000 tokens > 200000 maximum", "prompt is too long"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", "too long"),
    (413, "Request exceeds the maximum size", "too large"),
    (400, "messages.0.content.0.pdf.source.base64.data: The PDF specified was not valid.", "no valid PDF"),
    (400, "messages.0.content.0: The PDF specified is password protected.", "password"),
    (400, "A maximum of 100 PDF pages may be provided.", "PDF"),
    (400, "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6 bytes > 5 bytes", "image"),
    (400, "At least one of the image dimensions exceed max allowed size: 8000 pixels", "image"),
    (400, "At least one of the image dimensions exceed max allowed size for many-image requests: 2000 pixels", "2,000"),
    (400, "Could not process image", "image"),
    (400, "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.", "result"),
    (400, "messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.", "tool call"),
    (400, "messages: `tool_use` ids must be unique", "same id"),
    (400, "Your credit balance is too low to access the Anthropic API.", "Credit balance"),
    (400, "This organization has been disabled.", "disabled"),
    (400, "temperature: range: 0..1", "temperature: range: 0..1"),
    (401, "invalid x-api-key", "API key"),
    (403, "Your account does not have access to this model.", "does not have access to this model"),
    (403, "OAuth token has been revoked", "revoked"),
    (404, "model: foo", "does not exist"),
    (429, "This request would exceed your rate limit", "exceed your rate limit"),
    (500, "Internal server error", "Internal server error"),
    (529, "Overloaded", "Overloaded"),
]
#: what only somebody at a terminal can do, or sees
ADVICE = (
    *("/login", "/model", "/compact", "/rewind", "compact", "esc ", "pdftotext", "CLI", "session", "re-read"),
    *(
        "try again in",
        "inference gateway",
        "127.0.0.1",
        "environment variable",
        "Claude Code",
        "concurrency",
        "history",
    ),
)


@pytest.mark.parametrize(("status", "words", "ours"), ERRORS)
def test_no_advice_to_somebody_at_a_terminal(
    shared: ClaudeInvoker, simulator: RunningSimulator, status: int, words: str, ours: str
) -> None:
    """Each error that the CLI words itself is worded here."""
    simulator.control.add_rule({"error": {"status": status, "message": words}})
    with pytest.raises(TurnFailed) as failed:
        shared.ask("hello")
    assert ours in failed.value.message
    assert [advice for advice in ADVICE if advice.lower() in failed.value.message] == []


def test_a_prompt_that_is_too_long_is_known_as_that(shared: ClaudeInvoker, simulator: RunningSimulator) -> None:
    """The code is OpenAI's."""
    simulator.control.add_rule({"error": {"status": 400, "message": "prompt is too long: 2 tokens > 1 maximum"}})
    with pytest.raises(TurnFailed) as failed:
        shared.ask("hello")
    assert callers_fault(failed.value).code == "context_length_exceeded"


@pytest.mark.parametrize("reason", ["pause_turn", "compaction", "an_end_that_is_new"])
def test_an_end_that_is_not_known_is_no_answer(shared: ClaudeInvoker, simulator: RunningSimulator, reason: str) -> None:
    """What came may be a part of an answer: its client is told so, and what it cost."""
    simulator.control.add_rule({"text": "part of", "stop_reason": reason})
    with pytest.raises(TurnFailed, match=reason) as failed:
        shared.ask("hello")
    assert failed.value.kind is FailureKind.UNKNOWN_END
    assert failed.value.usage is not None


def test_nobody_is_logged_in(make: Make) -> None:
    """What to do about it is the doctor's to say."""
    with pytest.raises(TurnFailed) as failed:
        make(login={}).ask("hello", timeout_seconds=30)
    assert failed.value.message == "Not logged in"
