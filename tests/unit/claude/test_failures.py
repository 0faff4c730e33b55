"""How API errors are read."""

from __future__ import annotations

import time

import pytest

from app.messages.failure import FailureKind
from workers.claude.failures import ApiError, UsageLimit, classify

LATER = time.time() + 86400
REACHED = UsageLimit("rejected", LATER, "five_hour")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "unknown", FailureKind.CALLER),
        (400, "billing_error", FailureKind.LOGIN),
        (401, "authentication_failed", FailureKind.LOGIN),
        (403, None, FailureKind.LOGIN),
        (404, "model_not_found", FailureKind.CALLER),
        (408, None, FailureKind.SERVER),
        (413, "invalid_request", FailureKind.CALLER),
        (422, None, FailureKind.CALLER),
        (429, "rate_limit", FailureKind.RATE_LIMITED),
        (500, "server_error", FailureKind.SERVER),
        (529, "server_error", FailureKind.OVERLOADED),
        (None, "server_error", FailureKind.SERVER),
        (None, "authentication_failed", FailureKind.LOGIN),
        (None, "unknown", FailureKind.SERVER),
        (None, None, FailureKind.SERVER),
    ],
)
def test_kinds(status: int | None, error: str | None, kind: FailureKind) -> None:
    """By status first, then by the CLI's kind of error; not by text."""
    assert classify(ApiError(status, error, "Please run /login, usage limit reached")).kind is kind


def test_a_relayed_403_is_about_the_request() -> None:
    """A model that this account may not use fails the request that asked for it, and stops nobody else."""
    relayed = "Failed to authenticate. API Error: 403 Your account does not have permission to use this model"
    own = "Failed to authenticate: OAuth token revoked. Please log in again or contact your administrator."
    assert classify(ApiError(403, "authentication_failed", relayed)).kind is FailureKind.CALLER
    assert classify(ApiError(403, "authentication_failed", own)).kind is FailureKind.LOGIN


@pytest.mark.parametrize(
    ("limit", "is_new", "status", "kind"),
    [
        (REACHED, True, 429, FailureKind.USAGE_LIMIT),
        (REACHED, False, 429, FailureKind.USAGE_LIMIT),
        (REACHED, True, 401, FailureKind.USAGE_LIMIT),
        (REACHED, False, 401, FailureKind.LOGIN),
        (REACHED, False, 500, FailureKind.SERVER),
        (UsageLimit("rejected", time.time() - 5, "five_hour"), False, 429, FailureKind.RATE_LIMITED),
        (UsageLimit("rejected"), True, 429, FailureKind.RATE_LIMITED),
        (UsageLimit("allowed_warning", LATER, "five_hour"), True, 429, FailureKind.RATE_LIMITED),
        (UsageLimit("rejected", None, "seven_day"), True, 429, FailureKind.USAGE_LIMIT),
    ],
)
def test_a_usage_limit(limit: UsageLimit, is_new: bool, status: int, kind: FailureKind) -> None:
    """It takes a window or a reset to be one, and it is no login problem, whatever status it comes with."""
    failure = classify(ApiError(status, None, "x", limit, is_new))
    assert failure.kind is kind
    if kind is FailureKind.USAGE_LIMIT:
        assert (failure.resets_at, failure.limit_type) == (limit.resets_at, limit.limit_type)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("API Error: 400 max_tokens: too many", "max_tokens: too many"),
        ("API Error: Request rejected (429) · slow down", "slow down"),
        ("Failed to authenticate. API Error: 401 no", "no"),
        ("plain", "plain"),
        ("", "Claude gave no reason."),
    ],
)
def test_messages_are_the_apis_own_words(text: str, message: str) -> None:
    """What the CLI puts before them is left out."""
    assert classify(ApiError(400, None, text)).message == message


@pytest.mark.parametrize("text", ["Invalid API key · Fix external API key", "Not logged in · Please run /login"])
def test_a_login_that_fails_has_no_advice_for_a_terminal(text: str) -> None:
    """Nobody is there to run `/login`; Nightshift says itself what to do."""
    failure = classify(ApiError(401, "authentication_failed", text))
    assert (failure.kind, failure.message) == (FailureKind.LOGIN, text.split(" · ", maxsplit=1)[0])
