"""redis-py's client, taught what it may send again by itself, and to watch and read in one round trip.

A reply may be lost although its command was done: a command is sent again unseen only if it is the same when it is done twice
(docs/adr/0005). What this stands on in redis-py is held by tests/integration/replies/test_same_twice.py.
"""

from __future__ import annotations

from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.client import Pipeline
from redis.connection import HiredisRespSerializer
from redis.exceptions import ResponseError

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


class Packer(HiredisRespSerializer):
    """redis-py's own looks at each argument of each command for kinds that hiredis does not take: here only when it does not."""

    def pack(self, *args: Any) -> list[bytes]:
        """One command as Redis reads it."""
        try:
            return [pack_command(args if " " not in args[0] else (*args[0].split(), *args[1:]))]
        except TypeError:
            found: list[bytes] = super().pack(*args)
            return found


class WatchingPipeline(Pipeline):
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
        """redis-py's; the first read goes with the WATCH."""
        is_read = self._to_watch and not self.explicit_transaction
        execute: Any = self.immediate_execute_command if is_read else super().execute_command
        return execute(*args, **options)

    def multi(self) -> None:
        """redis-py's; what is to be watched is, by now."""
        if self._to_watch:
            self.read()
        super().multi()

    def reset(self) -> None:  # type: ignore[override]  # redis-py's own is, too
        """redis-py's."""
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


class Client(Redis):
    """Sends a command again only if it is of `SAME_TWICE`."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """redis-py's, of the class above."""
        return WatchingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def _close_connection(self, conn: Any, error: Exception | None = None, *details: Any) -> None:
        parent: Any = super()
        parent._close_connection(conn, error, *details)  # noqa: SLF001 - held by test_same_twice.py
        # (how often it failed, when it began, its name)
        if error is not None and details[-1] not in SAME_TWICE:
            raise error


def read(pipe: Any, *commands: tuple[str, ...]) -> list[Any]:
    """The replies to several reads in a step of `app.connection.transaction`, in one round trip by clients of `app.connection.connect`."""
    return (
        pipe.read(*commands) if isinstance(pipe, WatchingPipeline) else [pipe.execute_command(*one) for one in commands]
    )
