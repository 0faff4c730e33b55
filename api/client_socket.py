"""A client's connection, which gunicorn's threads do not watch: has the client hung up, does it read, does it send too slowly?"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from collections.abc import Callable


def is_gone() -> Callable[[], bool]:
    """A function that returns whether this request's client has closed its connection. Without a socket it never has."""
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False

    def look() -> bool:
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    return look


def is_writable() -> Callable[[float], bool]:
    """A function that returns whether this request's client takes more bytes, waiting that many seconds for it.

    Without a socket it always does. A write to one that does not would block for as long as the client likes.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda _: True
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return lambda seconds: bool(poll.poll(seconds * 1000))


#: from a request's first byte to the end of its headers, seconds
HEAD_SECONDS = 10.0
#: for a body of no size, seconds; each `BYTES_PER_SECOND` that have come give one more
BODY_SECONDS = 10.0
BYTES_PER_SECOND = 16 * 1024


class SlowClientError(TimeoutError):
    """The body did not come in its time."""


class PacedSocket:
    """A client's socket as gunicorn's parser reads it. Headers that are too slow end as a connection that was closed does."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._limit: float | None = None
        self.begin()

    def begin(self) -> None:
        """A request's first byte is there."""
        self._began = time.monotonic()
        self._received = 0
        self._is_body = False

    def begin_body(self) -> None:
        """Its headers are read."""
        self._began = time.monotonic()
        self._is_body = True

    def settimeout(self, seconds: float | None) -> None:
        """For single reads, beside the pace."""
        self._limit = seconds

    def gettimeout(self) -> float | None:
        """See `settimeout`."""
        return self._limit

    def recv(self, size: int) -> bytes:
        """What there is. Raises `SlowClientError`, and `TimeoutError` for the limit of single reads."""
        seconds = BODY_SECONDS + self._received / BYTES_PER_SECOND if self._is_body else HEAD_SECONDS
        left = self._began + seconds - time.monotonic()
        is_limited = self._limit is not None and self._limit < left
        try:
            self._sock.settimeout(max(0.001, self._limit if self._limit is not None and is_limited else left))
            found = self._sock.recv(size)
        except TimeoutError:
            if is_limited:
                raise
            if not self._is_body:
                return b""
            raise SlowClientError from None
        finally:
            self._sock.settimeout(None)
        self._received += len(found)
        return found
