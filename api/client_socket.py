"""Has the client hung up, does it read? gunicorn's threads don't notice, so we look at the socket."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from collections.abc import Callable


def is_gone() -> Callable[[], bool]:
    """A function that tells whether this request's client has closed its connection. Without a socket it never has."""
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
    """A function that tells whether this request's client takes more, waiting so many seconds for it.

    Without a socket it always does. A write to one that does not would block for as long as the client likes.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda _: True
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return lambda seconds: bool(poll.poll(seconds * 1000))
