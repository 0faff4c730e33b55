"""What the tests of jobs share: a store on the private Redis, and a worker without a Claude."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from redis import Redis

from app import counters, spending, usage
from app.jobs.record import JobRecord, Status
from app.jobs.store import Jobs
from app.settings import Settings
from tests.fake_worker import FakeWorker

if TYPE_CHECKING:
    from app.jobs.change import Lease


#: keys that stay when a job is removed: what was counted, and what the processes say of themselves
STAYS = (
    counters.KEY,
    usage.PREFIX,
    spending.PREFIX,
    "nightshift:history:",
    "nightshift:writable",
    "nightshift:supervisor",
)


class Submit(Protocol):
    def __call__(self, name: str = ..., *, patience: float = ..., callback_url: str = ...) -> JobRecord: ...


class Take(Protocol):
    def __call__(self, worker: str = ..., *, lease_seconds: float = ...) -> tuple[Lease, JobRecord]: ...


@pytest.fixture
def connection(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


@pytest.fixture
def jobs(connection: Redis) -> Jobs:
    return Jobs(connection, Settings())


def new_record(name: str = "chatcmpl-1", *, patience: float = 60.0, callback_url: str = "", **fields: Any) -> JobRecord:
    now = time.time()
    return JobRecord(
        id=name,
        kind="chat.completion",
        status=Status.QUEUED,
        model="sonnet",
        created_at=now,
        deadline_at=now + patience,
        max_attempts=3,
        callback_url=callback_url,
        **fields,
    )


@pytest.fixture
def take(connection: Redis) -> Take:
    """What a worker does: move the ticket out of the queue, then claim the job."""

    def taken(worker: str = "w1", *, lease_seconds: float = 10) -> tuple[Lease, JobRecord]:
        return FakeWorker(connection).claim(worker, lease_seconds=lease_seconds)

    return taken
