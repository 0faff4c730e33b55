"""What the clients send again by themselves, and what they never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError

from app.connection import connect, transaction
from app.redis_client import READS, SAME_TWICE, Packer
from chaos.lossy import Kind, Loss, LossyProxy, Once
from tests.integration.replies import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from chaos.lossy import Request

#: one use of each
_USES = {
    "SET": ("SET", "text", "b", "EX", "60"),
    "DEL": ("DEL", "text"),
    "UNLINK": ("UNLINK", "text"),
    "EXPIRE": ("EXPIRE", "text", "60"),
    "PEXPIRE": ("PEXPIRE", "text", "60000"),
    "EXPIREAT": ("EXPIREAT", "text", "4000000000"),
    "PERSIST": ("PERSIST", "brief"),
    "PUBLISH": ("PUBLISH", "channel", "hint"),
    "HSET": ("HSET", "hash", "a", "2", "b", "3"),
    "HDEL": ("HDEL", "hash", "a"),
    "SADD": ("SADD", "set", "a", "c"),
    "SREM": ("SREM", "set", "a"),
    "ZADD": ("ZADD", "sorted", "5", "a", "6", "c"),
    "ZREM": ("ZREM", "sorted", "a"),
    "ZREMRANGEBYSCORE": ("ZREMRANGEBYSCORE", "sorted", "0", "1"),
    "LTRIM": ("LTRIM", "list", "-2", "-1"),
    "XTRIM": ("XTRIM", "stream", "MAXLEN", "1"),
}


def _fill(redis: Redis) -> None:
    redis.flushall()
    redis.set("text", "a")
    redis.set("brief", "a", ex=60)
    redis.hset("hash", mapping={"a": "1"})
    redis.sadd("set", "a", "b")
    redis.zadd("sorted", {"a": 1, "b": 2})
    redis.rpush("list", "a", "b", "c", "d")
    for number in (1, 2, 3):
        redis.xadd("stream", {"n": number}, id=f"0-{number}")


def test_each_such_write_is_the_same_twice(connection: Redis) -> None:
    """Each command that is sent again leaves Redis as its first time did."""
    assert set(_USES) == SAME_TWICE - set(READS)
    untyped: Any = connection
    for command in _USES.values():
        _fill(connection)
        untyped.execute_command(*command)
        once = state.of(connection)
        untyped.execute_command(*command)
        assert state.of(connection) == once, command


@pytest.fixture
def client(lossy: LossyProxy) -> Iterator[Redis]:
    """The product's own, through the proxy."""
    with connect(lossy.url) as found:
        yield found


_NOT_TWICE: dict[str, Callable[[Any], Any]] = {
    "a command": lambda redis: redis.incr("n"),
    "a script": lambda redis: redis.eval("return redis.call('INCR', KEYS[1])", 1, "n"),
    "a transaction": lambda redis: redis.pipeline().set("other", 1).incr("n").execute(),
    "a pipeline": lambda redis: redis.pipeline(transaction=False).incr("n").execute(),
}


@pytest.mark.parametrize("name", _NOT_TWICE)
def test_what_is_not_the_same_twice_is_raised(lossy: LossyProxy, client: Redis, connection: Redis, name: str) -> None:
    """Its caller hears that it may have been done, and decides: it is not done again unseen."""
    lossy.plan = plan = Once(Loss(Kind.LOST_REPLY), _counts)
    with pytest.raises(RedisConnectionError):
        _NOT_TWICE[name](client)
    assert plan.hit is not None
    assert connection.get("n") == b"1"


def test_the_rest_is_sent_again(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """A read, and a write that is the same twice, come through a broken connection."""
    connection.set("text", "a")
    lossy.plan = Once(Loss(Kind.LOST_REPLY), lambda request: request.has("GET"))
    assert client.get("text") == b"a"
    lossy.plan = Once(Loss(Kind.LOST_REQUEST), lambda request: request.has("SADD"))
    pipe = client.pipeline()
    pipe.sadd("set", "a")
    pipe.expire("set", 60)
    assert pipe.execute() == [1, True]


def test_a_step_that_watches_looks_again(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """It finds what it has done itself."""
    seen = []

    def change(pipe: Any) -> None:
        seen.append(pipe.get("n"))
        pipe.multi()
        if seen[-1] is None:
            pipe.incr("n")

    lossy.plan = Once(Loss(Kind.LOST_REPLY), _counts)
    transaction(client, "n", change)
    assert seen == [None, b"1"]
    assert connection.get("n") == b"1"


def _counts(request: Request) -> bool:
    return request.has("INCR")


@pytest.mark.parametrize(
    "command",
    [("CONFIG GET", "save"), ("SET", "k", b"\x00", "EX", 3), ("GET", bytearray(b"k")), ("ZADD", "ü", 1.5, "m")],
)
def test_commands_are_packed_as_redis_py_packs_them(command: tuple[Any, ...]) -> None:
    """Ours looks at fewer arguments, and sends the same bytes."""
    assert Packer().pack(*command) == HiredisRespSerializer().pack(*command)
