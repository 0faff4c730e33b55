"""Connections to Redis under many threads, and to one that does not tell its time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from app import connection as connections
from app.connection import RedisError, connect, connect_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator


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
