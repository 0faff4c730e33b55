"""`GET /v1/scale` and the same in `/metrics`: what there is to do, and how many workers that takes."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from app import clock, counters
from app.gate import Cause, Gate
from app.history import sampling
from app.jobs import transitions
from app.outcome import Outcome
from app.worker_status import WorkerState, WorkerStatus, write
from tests.integration.api.running import chat_body
from tests.integration.api.test_files_and_batches import form
from tests.integration.api.test_held_batches import _line
from tests.integration.api.test_metrics import scrape

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from redis import Redis

    from app.batches.feeder import Feeder
    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

DOCS = Path(__file__).parents[3] / "docs" / "machines.md"


@pytest.fixture
def client(make_client: MakeClient, tmp_path: Path) -> FlaskClient:
    return make_client(data_dir=tmp_path)


def scale(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/v1/scale")
    assert response.status_code == 200
    return dict(response.get_json())


def start(client: FlaskClient, feeder: Feeder, count: int, **metadata: str) -> str:
    """A batch of so many lines, some of which are in the queue."""
    data, head = form(b"".join(b"%s\n" % _line(number) for number in range(count)))
    file_id = client.post("/v1/files", data=data, headers=head).get_json()["id"]
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "1h", "metadata": metadata}
    batch_id: str = client.post("/v1/batches", json={"input_file_id": file_id, **wanted}).get_json()["id"]
    for _ in range(2):
        feeder.run_once()
    return batch_id


def answer_a_line(worker: FakeWorker, connection: Redis, seconds: float) -> None:
    """It took so long."""
    lease, record = worker.take()
    connection.hset(f"nightshift:job:{record.id}", "started_at", str(clock.now() - seconds))
    transitions.publish(connection, worker.settings, lease, Outcome(body={"id": record.id}))


def test_a_queue_without_a_worker_wants_one(client: FlaskClient) -> None:
    assert scale(client)["workers"] == 0
    assert client.post("/v1/chat/completions", json=chat_body(), headers={"Prefer": "respond-async"}).status_code == 202
    found = scale(client)
    assert (found["workers"], found["alive"], found["for_batches"]) == (1, 0, 0)
    assert found["reason"] == "Requests: 1 in the queue and 0 running take less than one worker."


def test_a_batch_gets_what_ends_it_in_time(
    client: FlaskClient, feeder: Feeder, worker: FakeWorker, connection: Redis
) -> None:
    """By the measured time of its own lines; what is held, paused, or closed gets no more."""
    write(connection, WorkerStatus(name="w1", state=WorkerState.IDLE))
    batch_id = start(client, feeder, 100)
    assert (scale(client)["workers"], scale(client)["lines_left"]) == (1, 100)
    for _ in range(4):
        answer_a_line(worker, connection, seconds=120)
    feeder.run_once()
    found = scale(client)
    # 96 lines of two minutes in an hour without the slack.
    assert found["workers"] == math.ceil(96 * 120 / (3600 * 0.85)) == 4
    assert found["lines_left"] == 96
    assert found["next_deadline_at"] == client.get(f"/v1/batches/{batch_id}").get_json()["expires_at"]
    assert batch_id in found["reason"] and "one takes 120.0 s" in found["reason"]
    told = scrape(client)
    assert (told("workers_wanted"), told("batch_lines_left")) == (4, 96)
    assert (told("batches", state="in_progress"), told("batches", state="held")) == (1, 0)
    assert told("batch_next_deadline_timestamp_seconds") == pytest.approx(found["next_deadline_at"], abs=1)

    Gate(connection).close(Cause.USAGE_LIMIT, clock.now() + 1000, "a limit")
    assert (scale(client)["workers"], "usage_limit" in scale(client)["reason"]) == (1, True)
    Gate(connection).open()
    Gate(connection).pause()
    assert scale(client)["workers"] == 0


def test_a_trial_wants_workers_for_what_may_run(client: FlaskClient, feeder: Feeder, worker: FakeWorker) -> None:
    """Ten of a thousand lines, and when they are done none, until somebody says so."""
    start(client, feeder, 1000, **{"try": "10"})
    assert scale(client)["reason"].startswith("10 lines of 1 batch take")
    for _ in range(3):
        while (job := worker._pop()) is not None:
            claimed = transitions.claim(worker.connection, job.id, "w1", 60)
            assert claimed is not None
            worker.answer(claimed[0])
        feeder.run_once()
    found = scale(client)
    assert (found["workers"], found["batches"]["held"], found["lines_left"]) == (0, 1, 990)


def test_the_rate_of_lines(client: FlaskClient, connection: Redis) -> None:
    """Of the last five minutes, once there is a sample of that age."""
    assert scale(client)["lines_per_minute"] is None
    sample = '{"queued":0,"in_progress":0,"gate":"","workers":{},"lines":40}'
    sampling.write(connection, sampling._FINE, sample, f"{round((clock.now() - 300.5) * 1000)}-0")
    counters.add(connection, counters.REQUESTS, "/v1/batches", "haiku", "completed", by=140)
    counters.add(connection, counters.REQUESTS, "/v1/chat/completions", "haiku", "completed", by=10)
    assert scale(client)["lines_per_minute"] == pytest.approx(20.0, abs=0.1)
    assert scrape(client)("batch_lines_per_minute") == pytest.approx(20.0, abs=0.1)


def test_what_the_docs_tell_keda_to_read_is_there(client: FlaskClient) -> None:
    """The address, and the place of a number in its answer."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    objects = [one for block in blocks for one in yaml.safe_load_all(block)]
    triggers = [trigger for one in objects for trigger in (one["spec"].get("triggers") or [])]
    assert [trigger["type"] for trigger in triggers] == ["metrics-api"]
    told = triggers[0]["metadata"]
    answer = client.get(urlsplit(told["url"]).path).get_json()
    assert isinstance(answer[told["valueLocation"]], int)
