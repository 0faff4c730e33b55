"""Requests as values: what a flow yields, and when one is sent again.

A flow is a generator. Whoever drives it sends back what a `Call` was answered with, or throws the error that it ended with.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from nightshift_client.errors import APIConnectionError, APIStatusError

T = TypeVar("T")

#: a request that the server could not take is sent again so often, with these waits in between, seconds
_WAITS = (0.5, 2.0)
_MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """A request. It is answered with the JSON, or with the bytes if `is_raw`; `key` lets the server know a repetition."""

    method: str
    path: str
    json: Any = None
    #: a file's name and content
    upload: tuple[str, bytes] | None = None
    is_raw: bool = False
    key: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Wait:
    """Seconds."""

    seconds: float


Flow = Generator[Call | Wait, Any, T]


def ask(call: Call) -> Flow[Any]:
    """The answer. What may succeed a moment later is tried again; a repetition finds what the first try has made."""
    for wait in (*_WAITS, None):
        try:
            return (yield call)
        except (APIConnectionError, APIStatusError) as error:
            seconds = _again_in(error, wait)
            if seconds is None:
                raise
            yield Wait(seconds)
    raise AssertionError("the last try raises")


def _again_in(error: APIConnectionError | APIStatusError, wait: float | None) -> float | None:
    """Seconds until the same may succeed; None: it won't, or not so soon."""
    if wait is None or isinstance(error, APIConnectionError):
        return wait
    if error.headers.get("x-should-retry") == "false" or error.status_code not in (408, 429, 500, 502, 503, 504):
        return None
    try:
        asked = float(error.headers.get("retry-after") or wait)
    except ValueError:
        asked = wait
    return max(wait, asked) if asked <= _MOST_SECONDS else None
