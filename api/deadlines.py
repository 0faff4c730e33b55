"""How long a client is prepared to wait: one deadline over queue and run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flask import request

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.settings import Settings

#: a request that nobody waits for may take a day, if it says nothing
ASYNC_SECONDS = 24 * 3600.0
MAX_SECONDS = 7 * 24 * 3600.0

_OURS = "X-Request-Timeout"
#: what OpenAI's clients send by themselves: Python's, Node's
_STAINLESS = ("x-stainless-read-timeout", "x-stainless-timeout")


def timeout_seconds(settings: Settings, *, is_async: bool, streams: bool = False) -> float:
    """The request's time in seconds. Raises `ErrorReply` (400) when `X-Request-Timeout` is not one.

    The read timeout that OpenAI's clients tell is the silence that they bear: without a stream it is their whole patience,
    with one each piece begins it anew.
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
    told = read_timeout_seconds()
    if told is None:
        return settings.request_timeout_seconds
    return max(told, settings.request_timeout_seconds) if streams else told


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
