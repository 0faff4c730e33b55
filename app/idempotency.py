"""One fence for each request that makes something: repeating the request finds what its first try made.

A fence is a key in Redis that the step which makes the object watches and writes. It holds the object's id and a
fingerprint of what was sent. A client names its request by an `Idempotency-Key`; without one, the request is known by
its body, and only a client's own retry (`x-stainless-retry-count`) looks for what an earlier try made.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from redis.client import Pipeline

_T = TypeVar("_T")
PREFIX = "nightshift:idempotency:"


@dataclass(frozen=True)
class Fence:
    """What the tries of one request share. Make one with `by_key` or `by_content`."""

    #: the key in Redis
    name: str
    fingerprint: str
    #: whether the client chose a key; else the content is the key
    has_key: bool
    #: whether an earlier try may have made the object
    is_repeatable: bool

    def earlier(self, reader: Redis | Pipeline) -> str | None:
        """The id of what an earlier try made. Raises `ErrorReply` (409) when that try sent something else.

        `reader`: a connection, or a pipeline that watches `name` and has not begun its MULTI.
        """
        known: Any = reader.hgetall(self.name) if self.is_repeatable else {}
        if not known:
            return None
        if known[b"fingerprint"].decode() != self.fingerprint:
            raise errors.conflict(
                "This Idempotency-Key was used for a request with another body. Send a new key.",
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
            )
        return str(known[b"id"].decode())

    def note(self, pipe: Pipeline, made: str, seconds: float) -> None:
        """Put the commands that remember what was made on the caller's pipeline. `made`: its id."""
        pipe.hset(self.name, mapping={"id": made, "fingerprint": self.fingerprint})
        pipe.expire(self.name, max(1, int(seconds)))


def made_by(fence: Fence | None, pipe: Any, read: Callable[[str], _T | None]) -> _T | None:
    """What an earlier try of the request made, read by its id; the fence is watched from here on. Raises as `Fence.earlier`."""
    if fence is None:
        return None
    pipe.watch(fence.name)
    made = fence.earlier(pipe)
    return None if made is None else read(made)


def by_key(scope: str, key: str, fingerprint: str) -> Fence:
    """The fence of a request with an `Idempotency-Key`. `scope`: the caller and the endpoint, whose keys are its own."""
    return Fence(PREFIX + _digest(f"{scope}\0key\0{key}".encode()), fingerprint, has_key=True, is_repeatable=True)


def by_content(scope: str, fingerprint: str, *, is_retry: bool) -> Fence:
    """The fence of a request without a key. Two equal requests make two objects, unless the second is a retry."""
    name = PREFIX + _digest(f"{scope}\0content\0{fingerprint}".encode())
    return Fence(name, fingerprint, has_key=False, is_repeatable=is_retry)


def fingerprint(body: bytes, value: Any = None) -> str:
    """Of a JSON body: the same for the same value, whatever the order of its fields. Of other bytes: their own.

    `value`: what the body says, where it was parsed already.
    """
    with suppress(ValueError, RecursionError):
        value = json.loads(body) if value is None else value
        body = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return _digest(body)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
