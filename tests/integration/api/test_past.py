"""The last hours as the page draws them, on a real Redis."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from api.overview import past
from app import errors, wait_log
from app.history import sampling
from app.jobs.store import Jobs
from app.settings import Settings
from tests.integration.api.running import chat_body

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from tests.fake_worker import FakeWorker


def sample(connection: Redis, at: float, done: int, queued: int, rss_mb: float = 100.0) -> None:
    """One of each minute, when so many had been answered so far and one in ten had failed."""
    entry = {
        "queued": queued,
        "in_progress": 1,
        "gate": "",
        "completed": done,
        "failed": done // 10,
        "causes": {},
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_microusd": 0,
        "workers": {"w": [rss_mb, 50.0, done, "busy"]},
    }
    sampling.write(connection, sampling._COARSE, json.dumps(entry), f"{int(at * 1000)}-0")


def read(connection: Redis, now: float) -> past.Past:
    return past.Hours(connection, Jobs(connection, Settings())).read(now)


def test_steps_have_all_that_ended(connection: Redis) -> None:
    """However long the time, each answer is in one step and one row of the table; steps grow with the time there is."""
    now = time.time()
    assert (read(connection, now).step_seconds, len(read(connection, now).steps)) == (10, 60)
    for minute in range(30):
        sample(connection, now - 1800 + 60 * minute, 10 * minute, queued=1000 - minute)
    half_an_hour = read(connection, now)
    assert (half_an_hour.step_seconds, half_an_hour.seconds) == (60, 3600)
    connection.delete(sampling._COARSE.key)
    for minute in range(5 * 60):
        sample(connection, now - 5 * 3600 + 60 * minute, 10 * minute, queued=1000 - minute)
    found = read(connection, now)
    assert (found.step_seconds, found.since + found.seconds >= now) == (300, True)
    for pieces in (found.steps, found.rows):
        assert (sum(one.completed for one in pieces), sum(one.failed for one in pieces)) == (2990, 299)
        assert max(one.queued for one in pieces) == 1000
    assert (len(found.rows), found.rows[0].since) == (12, found.since)


def test_what_is_new_is_added(connection: Redis) -> None:
    """Read twice, with samples taken in between, it is as if it was read once."""
    now = time.time()
    hours = past.Hours(connection, Jobs(connection, Settings()))
    for minute in range(20):
        if minute == 11:
            hours.read(now - 500)
        sample(connection, now - 1200 + 60 * minute, 10 * minute, queued=minute)
    assert hours.read(now) == read(connection, now)
    assert sum(step.completed for step in hours.read(now).steps) == 190


def test_memory_and_closings(connection: Redis) -> None:
    """Memory reaches an hour back and keeps its peaks; a closing is cut to the time that is shown."""
    now = time.time()
    for minute in range(90):
        sample(connection, now - 5400 + 60 * minute, 0, 0, rss_mb=900.0 if minute in (3, 60) else 200.0)
    pipe = connection.pipeline()
    wait_log.note(pipe, wait_log.Closing("usage_limit", "", "five_hour", now - 86400, now - 3600))
    wait_log.note(pipe, wait_log.Closing("login", "", "", now - 3 * 86400, now - 2 * 86400))
    pipe.execute()
    found = read(connection, now)
    assert (max(found.memory["w"]), 58 <= len(found.memory["w"]) <= 60) == (900.0, True)
    assert sum(mb == 900.0 for mb in found.memory["w"]) == 1
    assert found.closings == [("usage_limit", found.since, now - 3600)]


def test_the_latest_failure_of_each_cause(connection: Redis, client: FlaskClient, worker: FakeWorker) -> None:
    """The newest job that failed so, whatever failed before it."""
    failing = [errors.upstream_failed("x"), errors.invalid_request("x"), errors.upstream_failed("x")]
    asked = []
    for error in failing:
        asked.append(
            client.post("/v1/chat/completions", json=chat_body(), headers={"Prefer": "respond-async"}).get_json()["id"]
        )
        worker.fail(worker.take()[0], error)
    found = {cause: latest.job_id for cause, latest in read(connection, time.time()).latest.items()}
    assert found == {"upstream_error": asked[2], "invalid_request_error": asked[1]}
