"""How the CLI's reports of a turn without an answer are read as failures.

The CLI reports an API error as a *successful* result whose text is the error. So attributes come first, in this order:
the usage limit's event, the HTTP status, the kind of error on the synthetic message; text is quoted, not read, but once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import clock
from app.messages.failure import FailureKind, TurnFailed
from workers.claude.cli_words import for_clients

if TYPE_CHECKING:
    from app.messages.answer import Window


@dataclass(frozen=True)
class UsageLimit:
    """The latest `RateLimitEvent` of a process; `resets_at` in epoch seconds."""

    status: str
    resets_at: float | None = None
    limit_type: str | None = None
    windows: tuple[Window, ...] = ()

    def is_reached(self, now: float | None = None) -> bool:
        """Whether a subscription's window is used up.

        A plain 429 with a subscription's token comes as `rejected` too, but names neither a window nor a reset.
        """
        if self.status != "rejected" or (self.resets_at is None and self.limit_type is None):
            return False
        return self.resets_at is None or self.resets_at > (clock.now() if now is None else now)


@dataclass(frozen=True)
class ApiError:
    """An API error as the CLI reports it; `status` is None when the connection broke or there was no request at all."""

    status: int | None
    #: `error` of the synthetic assistant message: `rate_limit`, `authentication_failed`, `billing_error`, ...
    error: str | None
    text: str
    #: the process' latest limit; the CLI does not repeat an unchanged one
    limit: UsageLimit | None = None
    #: whether that limit was reported in this turn
    limit_is_new: bool = False


#: The Messages API's error types by status.
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

#: The one place where text decides: the CLI calls every 403 `authentication_failed`, but only its own words ("OAuth token
#: revoked", say) are about the login. One that it relays forbids this request, a model of another plan for example; it
#: must not stop everybody's work.
_RELAYED_403 = "API Error: 403"


def classify(error: ApiError) -> TurnFailed:
    """Read an API error as the failure it is."""
    status = error.status
    message = for_clients(error.text, status)
    error_type = _ERROR_TYPES.get(status or 0)
    limit = error.limit
    if limit and limit.is_reached() and (error.limit_is_new or status == 429):
        wait = max(0.0, limit.resets_at - clock.now()) if limit.resets_at else None
        return TurnFailed(
            FailureKind.USAGE_LIMIT,
            message,
            status=status,
            error_type="rate_limit_error",
            retry_after=wait,
            resets_at=limit.resets_at,
            limit_type=limit.limit_type,
        )
    if status == 403 and _RELAYED_403 in error.text:
        return TurnFailed(FailureKind.CALLER, message, status=status, error_type=error_type)
    return TurnFailed(_kind(status, error.error), message, status=status, error_type=error_type)


#: Statuses that say more than their class does; 408 and 409 are the API's own timeouts and collisions.
_KINDS_BY_STATUS = {
    401: FailureKind.LOGIN,
    403: FailureKind.LOGIN,
    408: FailureKind.SERVER,
    409: FailureKind.SERVER,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}
#: What the CLI calls errors of accounts, at whatever status.
_ACCOUNT_ERRORS = frozenset({"authentication_failed", "billing_error", "oauth_org_not_allowed"})
#: What it says where there was no request, so that there is no status.
_KINDS_BY_ERROR = {
    "invalid_request": FailureKind.CALLER,
    "model_not_found": FailureKind.CALLER,
    "rate_limit": FailureKind.RATE_LIMITED,
}


def _kind(status: int | None, error: str | None) -> FailureKind:
    if status in _KINDS_BY_STATUS:
        return _KINDS_BY_STATUS[status]
    if error in _ACCOUNT_ERRORS:
        return FailureKind.LOGIN
    if status is None:
        return _KINDS_BY_ERROR.get(error or "", FailureKind.SERVER)
    return FailureKind.CALLER if 400 <= status < 500 else FailureKind.SERVER
