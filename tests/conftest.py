"""What all tests share."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app.schemas import sandbox
from tests.redis_server import RedisForTests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.process import RunningSimulator
    from tests.browser import Browser
    from tests.s3 import S3ForTests

# Tests that were started in the background, or by nohup, inherit ignored signals, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A schema is looked at in a process of low priority. Its computing time is what counts; the machine may be very busy.
sandbox._WALL = 60


@pytest.fixture(scope="session")
def _redis_for_session() -> Iterator[RedisForTests]:
    server = RedisForTests()
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis_url(_redis_for_session: RedisForTests) -> str:
    """The URL of a private, empty Redis."""
    with Redis.from_url(_redis_for_session.url) as client:
        client.flushall()
    return _redis_for_session.url


@pytest.fixture
def own_redis() -> Iterator[RedisForTests]:
    """A Redis of this test's own, started, to be stopped and started at will."""
    server = RedisForTests()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def _s3_for_session() -> Iterator[S3ForTests]:
    from tests.s3 import started  # few tests need it

    server = started()
    yield server
    server.close()


@pytest.fixture
def s3(_s3_for_session: S3ForTests, monkeypatch: pytest.MonkeyPatch) -> S3ForTests:
    """An object store with one empty bucket, `nightshift`, and the variables that name it."""
    _s3_for_session.clear()
    for name, value in _s3_for_session.environment.items():
        monkeypatch.setenv(name, value)
    return _s3_for_session


@pytest.fixture(scope="session")
def _simulator_for_session() -> Iterator[RunningSimulator]:
    from simulator.process import running_simulator  # few tests need it

    with running_simulator() as found:
        yield found


@pytest.fixture
def simulator(_simulator_for_session: RunningSimulator) -> RunningSimulator:
    """A simulated Messages API without rules and with an empty log."""
    _simulator_for_session.control.clear()
    return _simulator_for_session


@pytest.fixture(scope="session")
def _browser_for_session() -> Iterator[Browser]:
    from tests.browser import chromium  # the clients' environment has no selenium

    with chromium() as started:
        yield started


@pytest.fixture
def browser(_browser_for_session: Browser) -> Browser:
    """Headless Chromium, as after its start."""
    _browser_for_session.forget()
    return _browser_for_session
