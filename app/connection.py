"""Connections to Redis, for each of the ways we wait on it, and what may be the matter with it.

A reply may be lost although its command was done. So nothing is sent again unseen that is not the same when it is done twice
(docs/adr/0005): single commands of `SAME_TWICE` are, by the client itself; what has to be decided is decided in `transaction`,
which looks again; all else is raised to its caller.
"""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis._parsers import BaseParser
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app import clock, sentinel

if TYPE_CHECKING:
    from collections.abc import Callable


_T = TypeVar("_T")

#: redis-py's default is 100, beyond which it raises; an API process has more threads than that, each with up to two. (A
#: pool that waits instead would lock up: a step that holds a connection may need another for a look.)
MAX_CONNECTIONS = 4096

#: commands that leave Redis as it is
READS = (
    *("GET", "MGET", "EXISTS", "TTL", "PTTL", "TYPE", "KEYS", "SCAN", "DBSIZE", "STRLEN", "MEMORY USAGE", "OBJECT"),
    *("HGET", "HGETALL", "HMGET", "HVALS", "HKEYS", "HLEN", "HEXISTS", "HSCAN"),
    *("LRANGE", "LLEN", "LINDEX", "LPOS", "SMEMBERS", "SCARD", "SISMEMBER", "SRANDMEMBER", "SSCAN"),
    *(
        "ZCARD",
        "ZCOUNT",
        "ZSCORE",
        "ZRANK",
        "ZREVRANK",
        "ZRANGE",
        "ZREVRANGE",
        "ZRANGEBYSCORE",
        "ZREVRANGEBYSCORE",
        "ZSCAN",
    ),
    *("XRANGE", "XREVRANGE", "XLEN", "INFO", "TIME", "PING", "ECHO", "WAIT", "WATCH", "UNWATCH", "MULTI", "EXEC"),
    *("CONFIG GET", "CLIENT LIST", "CLIENT SETNAME", "SCRIPT LOAD", "SCRIPT EXISTS"),
)
#: these, and commands that leave it as their first time did: tests/integration/replies/test_same_twice.py holds each.
#: A SET with NX leaves it so, too, and says no: who uses it looks whose it is. A PUBLISH is only ever a hint here.
SAME_TWICE = frozenset(
    {
        *READS,
        *("SET", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "EXPIREAT", "PERSIST", "PUBLISH"),
        *("HSET", "HDEL", "SADD", "SREM", "ZADD", "ZREM", "ZREMRANGEBYSCORE", "LTRIM", "XTRIM"),
    }
)


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
    "SAME_TWICE",
    "CannotSaveError",
    "NotReplicatedError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "RedisError",
    "TooFewReplicasError",
    "confirm",
    "connect",
    "connect_blocking",
    "read",
    "repeated",
    "texts",
    "transaction",
]


class _Pipeline(Pipeline):
    """Is sent again only if each of its commands is of `SAME_TWICE`. Under WATCH redis-py never does.

    What is to be watched can go in one round trip with what is read first: `watch_with_next`, `read`.
    """

    _to_watch: tuple[str, ...] = ()

    def watch_with_next(self, *names: str) -> None:
        """Watch these from the next read of this pipeline on, or from `multi`."""
        self._to_watch += names

    def read(self, *commands: tuple[str, ...]) -> list[Any]:
        """The replies to several reads under WATCH."""
        untyped: Any = self
        return list(untyped.immediate_execute_command("WATCH", reads=commands))

    def execute_command(self, *args: Any, **options: Any) -> Any:
        is_read = self._to_watch and not self.explicit_transaction
        execute: Any = self.immediate_execute_command if is_read else super().execute_command
        return execute(*args, **options)

    def multi(self) -> None:
        if self._to_watch:
            self.read()
        super().multi()

    def reset(self) -> None:  # type: ignore[override]  # redis-py's own is, too
        self._to_watch = ()
        super().reset()

    def _himport_prepare_pipeline(self, conn: Any, commands: Any) -> None:
        """Nothing: redis-py would look through all commands for one that we don't use."""

    def _send_command_parse_response(self, conn: Any, command_name: Any, *args: Any, **options: Any) -> Any:
        """Again from its beginning, by redis-py, as long as nothing is watched; a failure after that is a WatchError."""
        parent: Any = super()
        reads = options.pop("reads", None)
        if not self._to_watch and reads is None:
            return parent._send_command_parse_response(conn, command_name, *args, **options)  # noqa: SLF001 - held by test_same_twice.py
        watched = [("WATCH", *self._to_watch)] if self._to_watch else []
        asked = [args] if reads is None else [*reads]
        conn.send_packed_command(conn.pack_commands([*watched, *asked]))
        replies: list[Any] = []
        for command in (*watched, *asked):
            try:
                replies.append(parent.parse_response(conn, command[0], **options))
            except ResponseError as error:
                # What follows it has to be read all the same.
                replies.append(error)
        self._to_watch = ()
        if failed := next((one for one in replies if isinstance(one, ResponseError)), None):
            raise failed
        return replies[len(watched) :] if reads is not None else replies[-1]

    def _disconnect_raise_on_watching(self, conn: Any, error: Exception, *details: Any) -> None:
        parent: Any = super()
        parent._disconnect_raise_on_watching(conn, error, *details)  # noqa: SLF001 - held by test_same_twice.py
        if not SAME_TWICE.issuperset(command[0] for command, _ in self.command_stack):
            raise error


class _Client(Redis):
    """Sends a command again only if it is of `SAME_TWICE`."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def _close_connection(self, conn: Any, error: Exception | None = None, *details: Any) -> None:
        parent: Any = super()
        parent._close_connection(conn, error, *details)  # noqa: SLF001 - held by test_same_twice.py
        # (how often it failed, when it began, its name)
        if error is not None and details[-1] not in SAME_TWICE:
            raise error


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
        return sentinel.client(url, _Client, **options)
    _check(url)
    return _Client.from_url(url, **options)


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


def read(pipe: Any, *commands: tuple[str, ...]) -> list[Any]:
    """The replies to several reads in a `transaction`, in one round trip by clients of `connect`."""
    return pipe.read(*commands) if isinstance(pipe, _Pipeline) else [pipe.execute_command(*one) for one in commands]


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
                if isinstance(pipe, _Pipeline):
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


#: for the replicas to say that they have it, seconds
REPLICAS_SECONDS = 2.0
_MARK = "nightshift:replicated"


class NotReplicatedError(TooFewReplicasError):
    """What was written is not on as many replicas as it should be, and a failover may lose it. It is there until then."""


def confirm(connection: Redis, key: str, replicas: int) -> None:
    """Wait until what was written to `key`, which must exist, is on that many replicas. Raises `NotReplicatedError`."""
    if replicas == 0:
        return
    # On one connection: the key is on the server that is asked, also when that is another one since a failover; and
    # what WAIT waits for is that connection's own last write, which comes after the key's.
    pipe = connection.pipeline(transaction=False)
    pipe.exists(key)
    pipe.set(_MARK, 1, ex=60)
    pipe.execute_command("WAIT", replicas, int(REPLICAS_SECONDS * 1000))  # type: ignore[no-untyped-call]
    is_there, _, reached = pipe.execute()
    if not is_there:
        raise NotReplicatedError("it is not on this server")
    if int(reached) < replicas:
        raise NotReplicatedError(f"it is on {reached} replicas of {replicas}")
