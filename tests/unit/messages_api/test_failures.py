"""The Messages API's errors as failures, and how long they ask to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from app import clock
from app.messages.failure import FailureKind
from workers.messages_api.failures import failure_of


def error(kind: str, message: str = "words") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def at(header: str, seconds: float) -> str:
    """The moment so many seconds from now, as that header has it."""
    moment = datetime.fromtimestamp(clock.now() + seconds, UTC)
    return format_datetime(moment, usegmt=True) if header == "retry-after" else moment.isoformat()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("invalid_request_error"), FailureKind.CALLER),
        (401, error("authentication_error"), FailureKind.LOGIN),
        (402, error("billing_error"), FailureKind.LOGIN),
        (403, error("permission_error"), FailureKind.CALLER),
        (404, error("not_found_error"), FailureKind.CALLER),
        (413, error("request_too_large"), FailureKind.CALLER),
        (429, error("rate_limit_error"), FailureKind.RATE_LIMITED),
        (500, error("api_error"), FailureKind.SERVER),
        (504, error("timeout_error"), FailureKind.SERVER),
        (529, error("overloaded_error"), FailureKind.OVERLOADED),
        (400, error("a_new_error"), FailureKind.CALLER),
        (401, None, FailureKind.LOGIN),
        (408, None, FailureKind.SERVER),
        (409, None, FailureKind.SERVER),
        (429, "<html>", FailureKind.RATE_LIMITED),
        (301, None, FailureKind.SERVER),
        (502, [], FailureKind.SERVER),
        (503, {"error": "down"}, FailureKind.SERVER),
        (400, error("invalid_request_error", "Your credit balance is too low"), FailureKind.LOGIN),
    ],
)
def test_each_error_has_its_kind(status: int, body: Any, kind: FailureKind) -> None:
    """By its type, and by its status where it has none that is known."""
    failure = failure_of(status, body, {})
    assert (failure.kind, failure.status) == (kind, status)
    assert failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": 60.0}, 60),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": 30.0}, 30),
        ({"anthropic-ratelimit-tokens-remaining": "5", "anthropic-ratelimit-tokens-reset": 30.0}, None),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "?"}, None),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": -30.0}, 0),
        (
            {
                "retry-after": "3",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": 30.0,
            },
            3,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": 10.0,
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": 50.0,
            },
            50,
        ),
    ],
)
def test_a_rate_limit_says_when_to_come_back(headers: dict[str, str | float], seconds: float | None) -> None:
    """`retry-after`, else the last of the limits that are used up; nothing where the API says nothing that can be read.

    A number is a moment, so many seconds from now.
    """
    sent = {name: value if isinstance(value, str) else at(name, value) for name, value in headers.items()}
    found = failure_of(429, error("rate_limit_error"), sent).retry_after
    assert found == (None if seconds is None else pytest.approx(seconds, abs=20))


def test_a_spending_limit_says_its_day() -> None:
    """It is no request's fault, though it comes as a plain 400."""
    words = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
    failure = failure_of(400, error("invalid_request_error", words), {})
    assert (failure.kind, failure.limit_type) == (FailureKind.USAGE_LIMIT, "spending")
    assert failure.resets_at == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    vague = failure_of(400, error("invalid_request_error", "You have reached your specified API usage limits."), {})
    assert (vague.kind, vague.resets_at) == (FailureKind.USAGE_LIMIT, None)


def test_a_model_that_does_not_exist_is_named() -> None:
    """In the words of the other way."""
    failure = failure_of(404, error("not_found_error", "model: claude-x"), {}, model="claude-x")
    assert failure.message == "The model 'claude-x' does not exist at Claude's API, or this login may not use it."


def test_words_that_cannot_be_stored_are_made_whole() -> None:
    """Half of a surrogate pair, and texts without end."""
    failure = failure_of(400, error("invalid_request_error", "\ud83d" + "x" * 5000), {})
    assert failure.message.startswith("\ufffdxx")
    assert len(failure.message) == 2000
