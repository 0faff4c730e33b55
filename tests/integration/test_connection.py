"""Connections to Redis under many threads."""

from __future__ import annotations

import pytest

from app.connection import connect, connect_blocking


@pytest.mark.parametrize("make", [connect, connect_blocking])
def test_hundreds_of_threads_share_a_client(redis_url: str, make: object) -> None:
    """As many connections as the API has threads can be in use at once: a burst of clients is no error of Redis'."""
    with make(redis_url) as client:  # type: ignore[operator]
        held = [client.connection_pool.get_connection() for _ in range(300)]
        for connection in held:
            client.connection_pool.release(connection)
