"""The proxy itself: what it hands on, loses, and lets come late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from chaos.lossy import AtRandom, Kind, Loss, LossyProxy, Once
from chaos.until import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(lossy: LossyProxy) -> Iterator[Redis]:
    """Through the proxy, never asking again, for half a second."""
    with Redis.from_url(lossy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.5) as found:
        yield found


def test_without_a_plan_all_is_handed_on(client: Redis, connection: Redis) -> None:
    """Large values, pipelines, transactions, scripts and published messages go through as they are."""
    large = bytes(range(256)) * 4096
    pipe = client.pipeline()
    pipe.set("large", large)
    pipe.hset("hash", mapping={"a": "1", "b": "\r\n$3\r\n"})
    pipe.get("large")
    assert pipe.execute() == [True, 2, large]
    assert client.eval("return {1, {'two', false}, 3}", 0) == [1, [b"two", None], 3]
    pubsub = client.pubsub()  # type: ignore[no-untyped-call]
    pubsub.subscribe("news")
    wait_until(lambda: connection.publish("news", "hello") == 1)
    wait_until(lambda: (found := pubsub.get_message(timeout=0.1)) is not None and found["data"] == b"hello")
    pubsub.close()


def test_a_tcp_port_in_place_of_a_socket(redis_url: str) -> None:
    """A client may be one that knows ports only."""
    with LossyProxy(redis_url) as proxy, Redis.from_url(proxy.url) as client:
        assert client.ping()


def test_a_lost_request_is_not_done(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """Its connection breaks before Redis has it."""
    lossy.plan = plan = Once(Loss(Kind.LOST_REQUEST), lambda request: request.has("INCR"))
    with pytest.raises(RedisConnectionError):
        client.incr("n")
    assert plan.hit is not None
    assert connection.get("n") is None
    assert client.incr("n") == 1


def test_a_request_whose_reply_is_lost_is_done(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """A transaction is lost as a whole, once Redis has done it; what is done meanwhile comes before its client notices."""
    seen = []
    loss = Loss(Kind.LOST_REPLY, meanwhile=lambda: seen.append(connection.get("n")))
    lossy.plan = Once(loss, lambda request: request.has("INCR"))
    pipe = client.pipeline()
    pipe.incr("n")
    pipe.incr("n")
    with pytest.raises(RedisConnectionError):
        pipe.execute()
    assert seen == [b"2"]


def test_a_silent_connection(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """What is lost may be lost without a word: the client's patience ends it."""
    lossy.plan = Once(Loss(Kind.LOST_REPLY, 60), lambda request: request.has("INCR"))
    with pytest.raises(RedisTimeoutError):
        client.incr("n")
    assert connection.get("n") == b"1"


def test_a_late_request_is_done_after_its_client_has_given_up(
    lossy: LossyProxy, client: Redis, connection: Redis
) -> None:
    """Redis reads what was sent before the connection ended, whoever has asked again meanwhile."""
    lossy.plan = Once(Loss(Kind.LATE_REQUEST, 1.0), lambda request: request.has("late"))
    with pytest.raises(RedisTimeoutError):
        client.rpush("list", "late")
    client.rpush("list", "again")
    assert connection.lrange("list", 0, -1) == [b"again"]
    wait_until(lambda: lossy.is_quiet)
    assert connection.lrange("list", 0, -1) == [b"again", b"late"]


def test_a_late_reply_comes(lossy: LossyProxy, client: Redis) -> None:
    """To a client that has the patience."""
    lossy.plan = Once(Loss(Kind.LATE_REPLY, 0.2), lambda request: request.has("INCR"))
    assert client.incr("n") == 1


def test_a_reader_that_leaves_takes_nothing(lossy: LossyProxy, client: Redis, connection: Redis) -> None:
    """Who waits for the queue and goes away does not stand there any more: its connection to Redis ends, too."""
    with pytest.raises(RedisTimeoutError):
        client.blmove("queue", "gap", 60)
    client.connection_pool.disconnect()
    wait_until(lambda: not any(one["cmd"] == "blmove" for one in connection.client_list()))
    connection.rpush("queue", "job")
    assert connection.lrange("gap", 0, -1) == []


def test_faults_at_random_hang_on_the_seed() -> None:
    """The same seed draws the same faults for the same requests."""
    from chaos.lossy import Request

    request = Request(((b"GET", b"x"),), b"")
    shares = dict.fromkeys(Kind, 0.1)
    first, again = AtRandom(5, shares, 2.0), AtRandom(5, shares, 2.0)
    drawn = [first(request) for _ in range(200)]
    assert drawn == [again(request) for _ in range(200)]
    assert set(first.times) == set(Kind)
