"""The Messages API's errors as failures: by `.type` first, then by status. Source: Anthropic's reference, "Errors"."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app import clock, retry_after
from app.messages.answer import whole
from app.messages.failure import FailureKind, TurnFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {
    "invalid_request_error": FailureKind.CALLER,
    "not_found_error": FailureKind.CALLER,
    "permission_error": FailureKind.CALLER,
    "request_too_large": FailureKind.CALLER,
    "authentication_error": FailureKind.LOGIN,
    "billing_error": FailureKind.LOGIN,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.SERVER,
    "api_error": FailureKind.SERVER,
}
_BY_STATUS = {
    401: FailureKind.LOGIN,
    402: FailureKind.LOGIN,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}
#: an account without credit comes as a plain 400
_NO_CREDIT = "credit balance is too low"
#: and so does one that has spent what its owner allows in a month
_SPENT = re.compile(
    r"reached your specified (?:workspace )?API usage limits"
    r"(?:.*regain access on (?P<day>\d{4}-\d\d-\d\d)(?: at (?P<time>\d\d:\d\d))?)?",
    re.IGNORECASE | re.DOTALL,
)
#: the name of that limit
SPENDING = "spending"
#: the limits of a key, each with `-remaining` and `-reset` (RFC 3339)
_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")
#: of an error's message, characters
_MAX_WORDS = 2000


def failure_of(
    status: int, body: Any, headers: Mapping[str, str], *, model: str = "", usage: dict[str, Any] | None = None
) -> TurnFailed:
    """`body`: the JSON of an error answer or of a stream's `error` event, whose `status` (200) says nothing."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {}
    error_type = str(error.get("type") or "") or None
    words = whole(str(error.get("message") or f"Claude's API answered with status {status}."))[:_MAX_WORDS]
    kind = _KINDS.get(error_type or "") or _BY_STATUS.get(status) or _by_class(status)
    resets_at = limit = None
    if kind is FailureKind.CALLER and (spent := _SPENT.search(words)):
        kind, limit, resets_at = FailureKind.USAGE_LIMIT, SPENDING, _moment(spent["day"], spent["time"])
    elif kind is FailureKind.CALLER and _NO_CREDIT in words.lower():
        kind = FailureKind.LOGIN
    elif error_type == "not_found_error" and model:
        words = f"The model '{model}' does not exist at Claude's API, or this login may not use it."
    return TurnFailed(
        kind,
        words,
        status=None if status == 200 else status,
        error_type=error_type,
        retry_after=_retry_after(headers, kind),
        resets_at=resets_at,
        limit_type=limit,
        usage=usage,
    )


def _by_class(status: int) -> FailureKind:
    return FailureKind.CALLER if 400 <= status < 500 and status not in (408, 409) else FailureKind.SERVER


def _retry_after(headers: Mapping[str, str], kind: FailureKind) -> float | None:
    """Seconds: what `retry-after` says, or until the last of the limits that are used up begins anew."""
    if (seconds := retry_after.parse(headers.get("retry-after"))) is not None:
        return seconds
    if kind is not FailureKind.RATE_LIMITED:
        return None
    names = (f"anthropic-ratelimit-{name}" for name in _LIMITS)
    resets = (_rfc3339(headers.get(f"{name}-reset", "")) for name in names if headers.get(f"{name}-remaining") == "0")
    waits = [moment - clock.now() for moment in resets if moment is not None]
    return max(0.0, *waits) if waits else None


def _rfc3339(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _moment(day: str | None, time: str | None) -> float | None:
    """UTC, as the API's text has it."""
    try:
        return datetime.fromisoformat(f"{day}T{time or '00:00'}").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
