"""Connections to Redis, for each of the ways we wait on it, and what may be the matter with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from redis import Redis
from redis._parsers import BaseParser
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app import clock, sentinel

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

#: redis-py's default is 100, beyond which it raises; an API process has more threads than that, each with up to two. (A
#: pool that waits instead would lock up: a step that holds a connection may need another for a look.)
MAX_CONNECTIONS = 4096


#: for the server to tell its time on a new connection, also on one that waits for other replies without end, seconds
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

__all__ = [
    "AWAY",
    "REFUSING",
    "CannotSaveError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "RedisError",
    "TooFewReplicasError",
    "connect",
    "connect_blocking",
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
    if url.startswith(tuple(f"{scheme}://" for scheme in sentinel.SCHEMES)):
        return sentinel.client(url, **options)
    return Redis.from_url(url, **options)


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


def transaction(connection: Redis, key: str, change: Callable[[Any], _T]) -> _T:
    """Run `change(pipe)` with `key` watched: it reads, calls `pipe.multi()`, writes; again when the key changed meanwhile."""
    untyped: Any = connection
    found: _T = untyped.transaction(change, key, value_from_callable=True)
    return found
