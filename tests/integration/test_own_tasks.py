"""A worker calls Nightshift's own functions, whatever Redis says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app.jobs.tickets import TASK_PATH
from workers.start import OwnTasks, PatientWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rq.job import Job


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    with Redis.from_url(redis_url) as client:
        yield Queue("night", connection=client, serializer=JSONSerializer)


def work(kind: type[SimpleWorker], queue: Queue) -> None:
    kind([queue], connection=queue.connection, serializer=JSONSerializer).work(burst=True)


@pytest.mark.parametrize("is_callback", [False, True])
def test_no_function_of_others_is_called(queue: Queue, tmp_path: Path, is_callback: bool) -> None:
    """Neither as a ticket's task nor as what follows its failure, though RQ's own worker would."""
    marker = tmp_path / "called"

    def put() -> Job:
        job = queue.enqueue("os.rmdir" if is_callback else "os.mkdir", args=(str(marker),))
        if is_callback:
            queue.connection.hset(job.key, "failure_callback_name", f"{__name__}.note")
        return OwnTasks.fetch(job.id, connection=queue.connection, serializer=JSONSerializer)

    put()
    work(SimpleWorker, queue)
    assert marker.exists()
    marker.rmdir()
    job = put()
    work(PatientWorker, queue)
    assert not marker.exists()
    job.refresh()  # type: ignore[no-untyped-call]
    assert job.is_failed


def note(job: Any, *_: Any) -> None:
    """What is called after a failure."""
    Path(job.args[0]).mkdir()


def test_its_own_is_found(queue: Queue) -> None:
    """By the path that tickets have."""
    job = queue.enqueue(TASK_PATH, args=("x",))
    assert OwnTasks.fetch(job.id, connection=queue.connection, serializer=JSONSerializer).func.__name__ == "run_job"
