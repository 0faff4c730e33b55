from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from redis import Redis

from api.app import create_app
from api.services import EXTENSION
from app.batches.feeder import Feeder
from app.settings import Settings
from tests.fake_worker import FakeWorker
from tests.integration.api.running import RunningApi, api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from tests.redis_server import RedisForTests


class MakeClient(Protocol):
    """Makes a test client of an application with those settings."""

    def __call__(self, **settings: Any) -> FlaskClient:
        """The client."""
        ...


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def worker(connection: Redis) -> FakeWorker:
    return FakeWorker(connection)


@pytest.fixture
def make_client(redis_url: str) -> Iterator[MakeClient]:
    made = []

    def make(**settings: Any) -> FlaskClient:
        app = create_app(replace(Settings(redis_url=redis_url), **settings))
        made.append(app.extensions[EXTENSION])
        return app.test_client()

    yield make
    for services in made:
        services.waiting.stop()
        services.connection.close()


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()


@pytest.fixture
def feeder(client: FlaskClient, connection: Redis) -> Iterator[Feeder]:
    """The loop that works on the batches of `client`, which needs a data dir of its own."""
    found = Feeder(connection, client.application.extensions[EXTENSION].settings)
    yield found
    found.close()


@pytest.fixture(scope="module")
def _server(_redis_for_session: RedisForTests) -> Iterator[RunningApi]:
    with api(
        _redis_for_session.url,
        NIGHTSHIFT_ABANDON_GRACE_SECONDS="3",
        NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS="localhost",
    ) as running:
        yield running


@pytest.fixture
def server(_server: RunningApi, connection: Redis) -> RunningApi:
    """The API over real HTTP, on an empty Redis; one process for a module's tests."""
    del connection
    return _server
