from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app.settings import Settings
from app.webhooks.signing import make_secret
from tests.integration.webhooks.receiver import Receiver, running
from workers.callbacks import tasks
from workers.callbacks.tasks import CallbackContext

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    """An empty Redis."""
    with Redis.from_url(redis_url) as client:
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
    tasks.install(found)
    yield found
    tasks.install(None)
    assert found.close(10)
