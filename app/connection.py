"""Connections to Redis, for each of the ways we wait on it, and what may be the matter with it.

A reply may be lost although its command was done. So nothing is sent again unseen that is not the same when it is done twice
(docs/adr/0005): single commands are, by the client itself (`app.redis_client`); what has to be decided is decided in `transaction`,
which looks again; all else is raised to its caller.
"""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from redis._parsers import BaseParser
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app import clock, sentinel
from app.redis_client import Client, Packer, WatchingPipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis


_T = TypeVar("_T")

#: redis-py's default is 100, beyond which it raises; an API process has more threads than that, each with up to two. (A
#: pool that waits instead would lock up: a step that holds a connection may need another for a look.)
MAX_CONNECTIONS = 4096

#: options of a URL that say how answers are read, waited for and asked for again; those in the URL would win
_OURS = frozenset(
    {
        *("decode_responses", "encoding", "encoding_errors", "max_connections"),
        *("retry_on_error", "retry_on_timeout", "socket_timeout", "socket_connect_timeout"),
    }
)

#: for the server to report its time on a new connection, also on one that waits for other replies without end, seconds
_GREET_SECONDS = 5.0


class CannotSaveError(ResponseError):
    """Redis can't write its files, and takes no writes until it can: its disk is full, say."""


class TooFewReplicasError(ResponseError):
    """Fewer replicas follow than `min-replicas-to-write` asks for."""


# redis-py has no classes for these (tests/integration/test_refusing_redis.py holds it). Within a MULTI the first command's error is raised as it is.
BaseParser.EXCEPTION_CLASSES |= {"MISCONF": CannotSaveError, "NOREPLICAS": TooFewReplicasError}

#: what is raised while the server is there, and takes no writes: full, can't save, follows another, is followed by too few
REFUSING = (OutOfMemoryError, CannotSaveError, ReadOnlyError, TooFewReplicasError)
#: what is raised while nothing can be done with the server: it is away, or loads its data, or takes no writes
AWAY = (RedisConnectionError, RedisTimeoutError, *REFUSING)

#: what is raised by a command that may have been done all the same: its reply did not come
MAYBE_DONE = (RedisConnectionError, RedisTimeoutError)

__all__ = [
    "AWAY",
    "MAYBE_DONE",
    "REFUSING",
    "CannotSaveError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "RedisError",
    "TooFewReplicasError",
    "connect",
    "connect_blocking",
    "repeated",
    "texts",
    "transaction",
]


def connect(url: str, *, timeout_seconds: float = 5.0) -> Redis:
    """A client for short commands: gives up after about `timeout_seconds`, having reconnected once or twice."""
    return _client(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        health_check_interval=30,
    )


def connect_blocking(url: str) -> Redis:
    """A client for commands that wait (BLMOVE, SUBSCRIBE): no read timeout of its own, no hidden retries."""
    return _client(url, socket_timeout=None, socket_connect_timeout=5.0, retry=Retry(ExponentialBackoff(), 0))


def _client(url: str, **options: Any) -> Redis:
    """For any URL that `REDIS_URL` may have. Raises `ValueError` for others."""
    options["max_connections"] = MAX_CONNECTIONS
    options["redis_connect_func"] = _greet
    options["command_packer"] = Packer()
    if url.startswith(tuple(f"{scheme}://" for scheme in sentinel.SCHEMES)):
        return sentinel.client(url, Client, **options)
    _check(url)
    return Client.from_url(url, **options)


def _check(url: str) -> None:
    """Refuse what redis-py would misread without an error (findings/redis_url.sh), and options that replace ours."""
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss") and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError("the database is a number")
    if taken := sorted(_OURS.intersection(parse_qs(parts.query))):
        raise ValueError(f"Nightshift itself chooses {', '.join(taken)}")


def _greet(connection: Any) -> None:
    """What redis-py does with a new connection, and a look at the server's clock: no command is sent before it is known."""
    connection.on_connect_check_health(check_health=False)
    asked = clock.steady()
    connection.send_command("TIME", check_health=False)
    try:
        seconds, micros = connection.read_response(timeout=_GREET_SECONDS)
    except ResponseError:
        return  # a user who may not ask: this machine's own clock has to do
    clock.hear(int(seconds) + int(micros) / 1e6, asked, clock.steady())


def texts(reply: Any) -> list[str]:
    """A reply that is a list of byte strings as text (RQ needs clients that do not decode)."""
    return [item.decode() for item in reply]


def repeated(step: Callable[[], _T]) -> _T:
    """Do a step that is the same twice though its command is not of `SAME_TWICE` (a script, say): three times at most."""
    for _ in range(2):
        with suppress(*MAYBE_DONE):
            return step()
    return step()


def transaction(connection: Redis, key: str | tuple[str, ...], change: Callable[[Any], _T]) -> _T:
    """Run `change(pipe)` with `key` (one or several) watched: it reads, calls `pipe.multi()`, writes; again when one changed meanwhile.

    They are watched from the first read by `pipe` on: what is read by another connection before that is not protected.

    Again, too, when the reply to the whole was lost: then it may have been done, and `change` has to find that out from what it
    reads. A try that comes late to Redis fails there, as long as what was done in its place changed a watched key.
    """
    keys = (key,) if isinstance(key, str) else key
    with connection.pipeline() as pipe:
        while True:
            with suppress(WatchError):
                if isinstance(pipe, WatchingPipeline):
                    pipe.watch_with_next(*keys)
                else:
                    pipe.watch(*keys)  # type: ignore[no-untyped-call]
                found = change(pipe)
                pipe.execute()
                return found


def patiently(
    step: Callable[[], _T], seconds: float = math.inf, on_away: Callable[[Exception], object] | None = None
) -> _T:
    """Do a step; while Redis is away, wait and do it again. After that many seconds it raises what Redis' client raised.

    `on_away` hears of each failure.
    """
    give_up, wait = time.monotonic() + seconds, 0.05
    while True:
        try:
            return step()
        except AWAY as error:
            if time.monotonic() >= give_up:
                raise
            if on_away is not None:
                on_away(error)
            time.sleep(wait)
            wait = min(2 * wait, 1.0)
