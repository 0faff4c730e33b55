"""What a request ends with when there is no answer, whichever way it took to Claude."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class FailureKind(StrEnum):
    """Why there is no answer; each has its own way on."""

    #: the request is wrong (4xx): the same request will fail again
    CALLER = "caller"
    #: 529: Claude is overloaded
    OVERLOADED = "overloaded"
    #: 429 that is not a subscription's limit: too much at once
    RATE_LIMITED = "rate_limited"
    #: 5xx, a broken connection, or an answer without an end
    SERVER = "server"
    #: a subscription's window is used up; nothing passes until it resets
    USAGE_LIMIT = "usage_limit"
    #: nobody is logged in, the login is refused, or its account is out of credit: no request can pass
    LOGIN = "login"
    #: the caller's deadline passed
    DEADLINE = "deadline"
    #: not a byte from Claude for `stall_seconds`
    STALLED = "stalled"
    #: `interrupt()` was called
    INTERRUPTED = "interrupted"
    #: the engine's process ended in mid-turn
    DIED = "died"
    #: it was ended in mid-turn because it took more memory than `hard_rss_mb`
    MEMORY = "memory"
    #: it was ended in mid-turn because it sent too much, or what can't be read
    GARBLED = "garbled"
    #: the model ended its answer for a reason that is not known here: what there is of it may be no answer
    UNKNOWN_END = "unknown_end"
    #: the engine's process could not be started
    UNAVAILABLE = "unavailable"

    @property
    def is_fault(self) -> bool:
        """Whether Claude or the engine failed. The request's own fault, and its end from outside, are none."""
        return self not in (FailureKind.CALLER, FailureKind.DEADLINE, FailureKind.INTERRUPTED)


class TurnFailed(Exception):
    """There is no answer. Branch on the attributes; the message is for people.

    `status` and `error_type` are the API's where it answered; `retry_after` is in seconds; `resets_at` (epoch seconds)
    and `limit_type` (`five_hour`, ...) belong to `usage_limit`; `usage` is what had been used when it failed.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        status: int | None = None,
        error_type: str | None = None,
        retry_after: float | None = None,
        resets_at: float | None = None,
        limit_type: str | None = None,
        usage: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.error_type = error_type
        self.retry_after = retry_after
        self.resets_at = resets_at
        self.limit_type = limit_type
        self.usage = usage

    def __repr__(self) -> str:
        return f"TurnFailed({self.kind.value}, {self.message!r}, status={self.status})"
