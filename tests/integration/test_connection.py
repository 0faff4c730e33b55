"""Connections to Redis under many threads, and to one that does not tell its time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app import connection as connections
from app.connection import RedisError, connect, connect_blocking, transaction
from app.redis_client import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize("make", [connect, connect_blocking])
def test_hundreds_of_threads_share_a_client(redis_url: str, make: object) -> None:
    """As many connections as the API has threads can be in use at once: a burst of clients is no error of Redis'."""
    with make(redis_url) as client:  # type: ignore[operator]
        held = [client.connection_pool.get_connection() for _ in range(300)]
        for connection in held:
            client.connection_pool.release(connection)


@pytest.fixture
def timeless(redis_url: str) -> Iterator[str]:
    """A way to the Redis on which the reply to TIME is lost, and all after it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def relay(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(redis_url.removeprefix("unix://"))
            while sent := client.recv(4096):
                if b"TIME" in sent:
                    continue
                server.sendall(sent)
                client.sendall(server.recv(65536))

    def accept() -> None:
        try:
            while True:
                threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()
        except OSError:
            return

    threading.Thread(target=accept, daemon=True).start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_a_server_that_does_not_tell_its_time(timeless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that waits without end for its replies does not wait so for the first one: it is an error, and tried again."""
    monkeypatch.setattr(connections, "_GREET_SECONDS", 0.2)
    raised: list[RedisError] = []

    def ask() -> None:
        try:
            connect_blocking(timeless).ping()
        except RedisError as error:
            raised.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(10)
    assert [type(error) for error in raised] == [RedisTimeoutError]


@pytest.mark.parametrize("make", [connect, Redis.from_url])
def test_a_step_is_decided_again_when_what_it_watches_changes(redis_url: str, make: Callable[[str], Redis]) -> None:
    """Each watched key counts from the first read on, whoever reads it, also where nothing is read at all."""
    with make(redis_url) as client, Redis.from_url(redis_url) as other:
        for changed in ("one", "two"):
            seen: list[list[bytes | None]] = []

            def change(pipe: Any, changed: str = changed, seen: list[list[bytes | None]] = seen) -> int:
                seen.append(read(pipe, ("GET", "one"), ("GET", "two")))
                if len(seen) == 1:
                    other.set(changed, "new")
                pipe.multi()
                pipe.incr("done")
                return len(seen)

            assert transaction(client, ("one", "two"), change) == 2
            assert seen[0] != seen[1]
        assert client.get("done") == b"2"
        tries = []

        def blind(pipe: Any) -> None:
            pipe.multi()
            tries.append(other.incr("one-more"))
            if len(tries) == 1:
                other.set("one", "newer")
            pipe.incr("done")

        transaction(client, "one", blind)
        assert (len(tries), client.get("done")) == (2, b"3")


def test_a_refused_read_of_a_step_leaves_its_connection_in_order(redis_url: str) -> None:
    """The replies that follow it are read, and belong to nobody's next command."""
    with connect(redis_url) as client:
        client.set("text", "a")
        for _ in range(3):
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                transaction(client, "text", lambda pipe: read(pipe, ("HGETALL", "text"), ("GET", "text")))
            assert client.get("text") == b"a"
        assert transaction(client, "text", lambda pipe: read(pipe, ("GET", "text"), ("STRLEN", "text"))) == [b"a", 1]
