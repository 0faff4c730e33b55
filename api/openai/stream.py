"""One streamed answer: server-sent events while the job waits and runs, made of its pieces and, at the end, its outcome.

Nothing is sent until the first piece arrives or `BEGIN_SECONDS` pass: an error that comes so soon is a plain HTTP answer with
its true status, which clients know how to retry. After that it is an event.

A comment never is a frame of its own: no blank line follows it, so that it belongs to the next event. Clients exist that take
any blank line for the end of an event, and fail on one without data (openai-go before 3.43.0).
"""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from api.errors import redis_trouble
from api.inbox import Feed, Inbox
from api.openai import chunks
from app import errors
from app.connection import AWAY
from app.errors import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api.services import Services
    from api.waiting import Wait
    from app.outcome import Outcome

log = logging.getLogger(__name__)

#: how long an error is still answered with its own HTTP status, seconds
BEGIN_SECONDS = 3.0
#: the longest silence, seconds: a comment is sent then, or after half of the client's read timeout if that is less. Not oftener,
#: for some clients give up after a number of lines without data (go-openai: 300 between two chunks)
SILENCE_SECONDS = 15.0
_LEAST_SILENCE_SECONDS = 0.25
_LOOK_SECONDS = 1.0
#: what nginx and the like need so that they pass on each piece as it comes
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Shape(Protocol):
    """What an endpoint's stream is made of: each method gives server-sent events, whole ones."""

    #: whether the client has been given a piece of the answer
    has_started: bool

    def opening(self) -> Iterator[bytes]:
        """What is sent before there is any piece."""
        ...

    def piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """One piece as the worker emits it."""
        ...

    def end(self, body: dict[str, Any]) -> Iterator[bytes]:
        """The rest of the answer. Raises `ErrorReply`."""
        ...

    def error(self, error: ErrorReply, *, has_ended: bool) -> bytes:
        """The last event of a stream that fails. `has_ended`: the job has, and this is its outcome."""
        ...


class Stream:
    """The body of a streamed response: `begin`, then iterate, then `close`, whatever came before."""

    def __init__(
        self,
        services: Services,
        wait: Wait,
        shape: Shape,
        *,
        silence_seconds: float,
        is_writable: Callable[[float], bool],
        inbox: Inbox | None = None,
    ) -> None:
        """`inbox`: registered for the job since before there was one."""
        self._jobs = services.jobs
        self._waiting = services.waiting
        self._wait = wait
        self._shape = shape
        self._silence_seconds = silence_seconds
        self._is_writable = is_writable
        self._inbox = inbox or self._waiting.listener.register_reader(wait.record.id)
        self._feed = Feed(services.connection, wait.record.id, self._inbox)
        self._pieces: list[dict[str, Any]] = []
        self._outcome: Outcome | None = None
        self._next_look = time.monotonic() + _LOOK_SECONDS
        #: the job need not be given up any more when the client leaves
        self._is_over = False

    def begin(self) -> None:
        """Wait a little for the first piece. Raises the `ErrorReply` that comes instead."""
        end = time.monotonic() + min(BEGIN_SECONDS, self._silence_seconds)
        try:
            self._outcome = self._waiting.look_around(self._wait)
            while not self._pieces and self._outcome is None and (left := end - time.monotonic()) > 0:
                self._step(left)
        except ErrorReply:
            self._is_over = True
            raise
        if self._outcome is not None and self._outcome.error is not None and not self._pieces:
            self._is_over = True
            raise self._outcome.error

    def __iter__(self) -> Iterator[bytes]:
        for data in self._events():
            while not self._is_writable(_LOOK_SECONDS):
                # It reads slowly or not at all; what comes meanwhile stays in Redis.
                self._look_after_slow_reader()
            yield data

    def close(self) -> None:
        """The response has ended, or its client has."""
        self._waiting.listener.forget(self._wait.record.id, self._inbox)
        if not self._is_over:
            self._is_over = True
            self._waiting.leave(self._wait)

    def _events(self) -> Iterator[bytes]:
        try:
            yield from self._answer()
            return
        except ErrorReply as error:
            reply = error
        except AWAY as error:
            reply = redis_trouble(error)
        except Exception:
            log.exception("[INTERNAL] stream of %s", self._wait.record.id)
            reply = errors.internal()
        self._is_over = True
        has_ended = self._outcome is not None and self._outcome.error is reply
        yield self._shape.error(reply, has_ended=has_ended)

    def _answer(self) -> Iterator[bytes]:
        opening = list(self._shape.opening())
        yield from opening
        if not opening and not self._pieces and self._outcome is None:
            # The response's headers go out with the first bytes of its body.
            yield chunks.KEEP_ALIVE
        quiet_since = time.monotonic()
        while True:
            for piece in self._pieces:
                yield from self._shape.piece(piece)
                quiet_since = time.monotonic()
            self._pieces = []
            if self._outcome is not None:
                break
            left = quiet_since + self._silence_seconds - time.monotonic()
            if left <= 0:
                yield chunks.KEEP_ALIVE
                quiet_since = time.monotonic()
                left = self._silence_seconds
            self._step(left)
        if self._outcome.error is not None or self._outcome.body is None:
            raise self._outcome.error or errors.internal()
        *rest, last = self._shape.end(self._outcome.body)
        yield from rest
        # What is on its way now is the end: a client that closes after it has not left early.
        self._is_over = True
        yield chunks.trailers(self._outcome.headers) + last

    def _step(self, seconds: float) -> None:
        """Take what comes within that many seconds: pieces, the outcome, or neither."""
        self._pieces = self._feed.next(min(seconds, self._wait.slice_seconds()))
        if self._feed.may_have_ended and not self._pieces:
            self._outcome = self._read_outcome()
        if self._outcome is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._outcome = self._waiting.look_around(self._wait, is_answering=self._shape.has_started)

    def _read_outcome(self) -> Outcome | None:
        try:
            outcome = self._jobs.outcome(self._wait.record.id)
        except AWAY:
            # The listener has lost it too, and says "look" when it is back.
            return None
        self._feed.may_have_ended = False
        return outcome

    def _look_after_slow_reader(self) -> None:
        try:
            ended = self._waiting.look_around(self._wait, is_answering=True)
        except ErrorReply as error:
            self._is_over = True
            raise _hung_up() from error
        if ended is not None:
            self._is_over = True
            raise _hung_up()


def silence_seconds(read_timeout_seconds: float | None) -> float:
    """How long this client may be left without a byte."""
    if read_timeout_seconds is None:
        return SILENCE_SECONDS
    return max(_LEAST_SILENCE_SECONDS, min(SILENCE_SECONDS, read_timeout_seconds / 2))


def _hung_up() -> OSError:
    """What the server takes for a client's end: it closes the connection and says nothing more."""
    return OSError(errno.EPIPE, "the client does not read")
