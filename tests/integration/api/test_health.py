"""What `/health`, `/health/ready` and `/` say."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from app import clock, hashes, supervisors, worker_status
from app.batches.leadership import Leadership
from app.batches.storage.local_disk import LocalDisk
from app.gate import Cause, Gate
from app.memory import held_mb
from app.settings import Settings
from app.webhooks import outbox
from app.webhooks.events import Event
from app.worker_status import WorkerState, WorkerStatus
from tests.integration.api.running import chat_body

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from redis import Redis

    from tests.integration.api.conftest import MakeClient


def status(**fields: Any) -> WorkerStatus:
    return WorkerStatus(**{"name": "w1", "state": WorkerState.IDLE, "restarts": {"turns": 2}, **fields})


def test_round_trip(connection: Redis) -> None:
    """What a worker writes is what is read, and ends with the worker's silence."""
    written = status(job="chatcmpl-1", turns=3, rss_mb=1.5, login="api_key", pid=7)
    worker_status.write(connection, written)
    worker_status.write(connection, status(name="w2", state=WorkerState.LIMITED))
    assert worker_status.read_all(connection)[0] == written
    assert 0 < connection.ttl("nightshift:worker:w1") <= worker_status.KEEP_SECONDS
    worker_status.remove(connection, "w1")
    connection.delete("nightshift:worker:w2")
    assert worker_status.read_all(connection) == []
    assert connection.smembers(worker_status.WORKERS) == set()


def test_health(client: FlaskClient, connection: Redis) -> None:
    """It shows the queue, each worker and the memory of the tree."""
    worker_status.write(connection, status(pid=os.getpid()))
    client.post("/v1/chat/completions", json=chat_body(), headers={"Prefer": "respond-async"})
    found = client.get("/health").get_json()
    assert found["status"] == "ok"
    assert found["queue"]["queued"] == 1
    assert found["gate"] == {"object": "gate", "open": True, "scopes": [], "parked": 0}
    (row,) = found["workers"]
    assert (row["name"], row["state"], row["restarts"], row["alive"]) == ("w1", "idle", {"turns": 2}, True)
    own = held_mb(psutil.Process())
    assert found["memory"]["rss_mb"] >= own * 0.8
    parts = found["memory"]
    assert parts["rss_mb"] == pytest.approx(parts["python_mb"] + parts["claude_mb"] + parts["redis_mb"], abs=0.2)


def test_a_machine_whose_clock_is_off(make_client: MakeClient, connection: Redis) -> None:
    """It is named with how far, once it is over a second; each supervisor says what it does and whether it rests."""
    mine = supervisors.of_this_process(Settings(), supervisors.Part.UP)
    for host, skew in (("near", 0.4), ("far", -60.0)):
        row = replace(mine, name=f"{host}:1", host=host, clock_skew_seconds=skew, beat_at=clock.now())
        mapping: Any = hashes.to_hash(row)
        connection.hset(f"nightshift:supervisor:{row.name}", mapping=mapping)
        connection.sadd("nightshift:supervisors", row.name)
    found = make_client().get("/health").get_json()
    assert found["clocks_off"] == {"far": -60.0}
    assert "The clock of far is 60.0 s behind Redis': have it set by NTP." in found["warnings"]
    assert {row["host"]: row["part"] for row in found["supervisors"]} == {"far": "up", "near": "up"}
    assert found["now"] == pytest.approx(time.time(), abs=5)


def test_what_else_an_operator_asks(make_client: MakeClient, connection: Redis, tmp_path: Path) -> None:
    """How old the job and the beat are, who feeds the batches, what waits to be told, whether Redis writes, and the disk."""
    now = time.time()
    worker_status.write(connection, status(state=WorkerState.BUSY, job="chatcmpl-1", job_started_at=now - 30))
    worker_status.write(connection, status(name="w2", beat_at=now - 20, cli_version="2.1.0"))
    pipe = connection.pipeline()
    outbox.add(pipe, Event.new("response.completed", {"id": "resp_1"}), "https://example.com/hook")
    pipe.execute()
    client = make_client(data_dir=tmp_path / "not" / "made")
    assert client.get("/health").get_json()["feeder"] is None
    feeder = Leadership(connection, LocalDisk(tmp_path))
    assert feeder.hold()
    found = client.get("/health").get_json()
    feeder.close()
    busy, gone = found["workers"]
    assert 30 <= busy["job_seconds"] < 60
    assert (gone["state"], gone["job_seconds"], gone["cli_version"]) == ("gone", None, "2.1.0")
    assert gone["beat_seconds_ago"] >= 20
    assert str(os.getpid()) in found["feeder"]["process"]
    assert 0 <= found["feeder"]["beat_seconds_ago"] < 60
    assert found["callbacks"] == {"waiting": 1, "undelivered": 0}
    assert found["redis"]["is_persisting"] is True
    assert {"aof_enabled", "aof_last_write_status", "rdb_last_save_status", "used_memory_mb"} <= set(found["redis"])
    assert found["disk"]["free_mb"] > 0
    assert (found["ready"], found["reason"]) == (True, None)


def test_memory_of_workers_elsewhere(client: FlaskClient, connection: Redis) -> None:
    """Workers outside the measured tree count as they report themselves."""
    before = client.get("/health").get_json()["memory"]
    worker_status.write(connection, status(rss_mb=300.0, python_rss_mb=70.0, pid=2**22 + 1))
    after = client.get("/health").get_json()["memory"]
    # This process grows a little meanwhile.
    assert after["claude_mb"] == pytest.approx(before["claude_mb"] + 300, abs=30)


@pytest.mark.parametrize(
    ("state", "is_ready"),
    [
        (WorkerState.IDLE, True),
        (WorkerState.BUSY, True),
        (WorkerState.RECYCLING, True),
        (WorkerState.STARTING, False),
        (WorkerState.LIMITED, False),
        (WorkerState.UNAVAILABLE, False),
    ],
)
def test_ready(client: FlaskClient, connection: Redis, state: WorkerState, is_ready: bool) -> None:
    """It is ready when a living worker can serve."""
    worker_status.write(connection, status(state=state))
    response = client.get("/health/ready")
    assert response.status_code == (200 if is_ready else 503)
    if not is_ready:
        assert response.get_json()["error"]["code"] == "no_worker_ready"
        assert str(state) in response.get_json()["error"]["message"]


def test_not_ready_without_living_workers(client: FlaskClient, connection: Redis) -> None:
    """No worker, or a silent one, is not ready."""
    assert client.get("/health/ready").get_json()["error"]["code"] == "no_worker"
    worker_status.write(connection, status(beat_at=time.time() - 30))
    response = client.get("/health/ready")
    assert (response.status_code, response.get_json()["error"]["code"]) == (503, "no_worker")
    assert client.get("/health").get_json()["workers"][0]["alive"] is False


def test_not_ready_without_login(client: FlaskClient, connection: Redis) -> None:
    """A gate that a login has closed is not ready, whatever the workers say."""
    worker_status.write(connection, status())
    Gate(connection).close(Cause.LOGIN, time.time() + 60, "invalid key")
    assert client.get("/health/ready").get_json()["error"]["code"] == "login_required"
    found = client.get("/health").get_json()
    assert (found["status"], found["gate"]["cause"], found["gate"]["open"]) == ("degraded", "login", False)


def test_redis_away(make_client: MakeClient) -> None:
    """With Redis away it lives, degraded, and is not ready."""
    client = make_client(redis_url="unix:///nowhere/redis.sock")
    found = client.get("/health")
    assert (found.status_code, found.get_json()["status"]) == (200, "degraded")
    assert found.get_json()["redis"]["reachable"] is False
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.get_json()["error"]["code"]) == (503, "redis_unavailable")


def test_details_need_a_key(make_client: MakeClient, connection: Redis) -> None:
    """Without a key /health says that it lives, and nothing else."""
    worker_status.write(connection, status())
    client = make_client(api_keys=("k",))
    assert client.get("/health").get_json() == {"status": "ok"}
    assert client.get("/health/ready").get_json() == {"status": "ready"}
    assert "workers" in client.get("/health", headers={"Authorization": "Bearer k"}).get_json()


def test_home(make_client: MakeClient) -> None:
    """The front page is HTML for browsers, JSON for others, and says so when answers are simulated."""
    page = make_client().get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.mimetype == "text/html"
    assert "simulated" not in page.text
    assert make_client().get("/").get_json()["name"] == "Nightshift"
    offline = make_client(offline=True)
    assert "simulated" in offline.get("/", headers={"Accept": "text/html"}).text
    answer = offline.get("/")
    assert "simulated" in answer.get_json()["notice"]
    assert answer.headers["x-nightshift-simulated"] == "true"


def test_worker_in_the_measured_tree_counts_once(make_client: MakeClient, connection: Redis) -> None:
    """A worker under the same supervisor is measured; what it says of itself is not added."""
    client = make_client(supervisor_pid=os.getpid())
    before = client.get("/health").get_json()["memory"]
    worker_status.write(connection, status(rss_mb=3000.0, python_rss_mb=3000.0, pid=os.getpid()))
    after = client.get("/health").get_json()["memory"]
    assert after["rss_mb"] < before["rss_mb"] + 100
    assert before["redis_mb"] > 0
