"""How long a request may take: one deadline over queue and run. And how long its client says that it waits, which is another thing.

`X-Request-Timeout` is a deadline: the client wants a 504 then, and nothing to run on. The timeout that OpenAI's clients tell of themselves is
the moment at which they hang up, and they come back at once, with the same request: so its end is for them to see, and the job lives on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flask import request

from app import clock, errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.settings import Settings

#: a request that nobody waits for may take a day, if it says nothing
ASYNC_SECONDS = 24 * 3600.0
MAX_SECONDS = 7 * 24 * 3600.0

_OURS = "X-Request-Timeout"
#: what OpenAI's clients send by themselves: Python's, Node's
_STAINLESS = ("x-stainless-read-timeout", "x-stainless-timeout")


def timeout_seconds(settings: Settings, *, is_async: bool) -> float:
    """The request's time in seconds. Raises `ErrorReply` (400) when `X-Request-Timeout` is not one.

    A client that says that it waits longer than is usual here gets what it waits for.
    """
    if (sent := request.headers.get(_OURS)) is not None:
        seconds = _seconds(sent)
        if seconds is None or seconds > MAX_SECONDS:
            raise errors.invalid_request(
                f"{_OURS} takes seconds, more than 0 and at most {MAX_SECONDS:.0f}.",
                param=_OURS,
                code=ErrorCode.INVALID_VALUE,
            )
        return seconds
    if is_async:
        return ASYNC_SECONDS
    return max(read_timeout_seconds() or 0.0, settings.request_timeout_seconds)


def hangs_up_at(*, streams: bool) -> float:
    """When the client will have hung up by its own word, seconds since the epoch; `inf` when it has said nothing of the kind.

    In a stream each piece begins its timeout anew.
    """
    told = None if streams else read_timeout_seconds()
    return math.inf if told is None else clock.now() + told


def read_timeout_seconds() -> float | None:
    """How long the client bears silence, if it has told."""
    for name in _STAINLESS:
        seconds = _seconds(request.headers.get(name, ""))
        if seconds is not None:
            return min(seconds, MAX_SECONDS)
    return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
