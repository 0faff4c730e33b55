"""Parts that run alone on a Redis of the user's: each does the work that is due there, and several agree with each other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from redis import Redis

from app import supervisors
from app.batches import leadership
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.file_record import Purpose
from app.batches.record import BatchStatus
from app.batches.store import Batches, NewBatch
from app.jobs.record import JobRecord, Status
from app.jobs.store import Jobs
from app.settings import Settings
from app.webhooks.signing import make_secret
from chaos.stack import free_port
from chaos.until import PATIENCE_SECONDS, wait_until
from ops.supervisor.secrets import SHARED
from tests.integration.jobs.conftest import new_record
from tests.integration.supervisor.conftest import ROOT, Up
from tests.integration.webhooks import receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Up]


@contextlib.contextmanager
def part(redis_url: str, directory: Path, *command: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real command, in an environment as empty as a user's first shell."""
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
    argv = [sys.executable, "-P", "-m", "ops.cli.main", *command]
    with subprocess.Popen(argv, env=env | environ, cwd=directory, start_new_session=True) as process:
        try:
            yield process
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0
            assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def batch_line(custom_id: str) -> bytes:
    body = {"model": "haiku", "messages": [{"role": "user", "content": custom_id}]}
    line = {"custom_id": custom_id, "method": "POST", "url": CHAT_COMPLETIONS, "body": body}
    return json.dumps(line).encode() + b"\n"


def post(url: str, body: bytes, content_type: str = "application/json") -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


def test_the_api_alone_feeds_batches_and_does_the_maintenance(redis_url: str, tmp_path: Path) -> None:
    """A batch is validated and its line queued, a late job fails, and a lease that ended is taken: with nothing but an API."""
    port, connection = free_port(), Redis.from_url(redis_url)
    url = f"http://127.0.0.1:{port}"
    jobs = Jobs(connection, Settings())
    with part(redis_url, tmp_path, "api", "--port", str(port), "--data-dir", str(tmp_path / "data")):
        wait_until(lambda: bool(supervisors.read_all(connection)))
        jobs.submit(new_record("chatcmpl-late", patience=0.0), {})
        boundary = b"--x\r\nContent-Disposition: form-data; name="
        form = boundary + b'"purpose"\r\n\r\nbatch\r\n' + boundary
        form += b'"file"; filename="night.jsonl"\r\n\r\n' + batch_line("a") + b"\r\n--x--\r\n"
        file_id = post(f"{url}/v1/files", form, "multipart/form-data; boundary=x")["id"]
        new = {"input_file_id": file_id, "endpoint": CHAT_COMPLETIONS, "completion_window": "24h"}
        batch_id = post(f"{url}/v1/batches", json.dumps(new).encode())["id"]
        batches = Batches(connection, Settings(data_dir=tmp_path / "data"))
        wait_until(lambda: batches.require(batch_id).fed == 1)
        wait_until(lambda: _status(jobs, "chatcmpl-late") is Status.FAILED)
        assert [row.part for row in supervisors.read_all(connection)] == ["api"]


def test_an_api_starts_before_its_redis(tmp_path: Path, own_redis: Any) -> None:
    """It answers that Redis is away, and works when it is there."""
    own_redis.stop()
    port = free_port()

    def health() -> dict[str, Any]:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
        return {}

    with part(own_redis.url, tmp_path, "api", "--port", str(port), "--data-dir", str(tmp_path / "data")):
        wait_until(lambda: health().get("redis", {}).get("reachable") is False)
        own_redis.start()
        wait_until(lambda: bool(health().get("feeders")))


def test_a_worker_command_without_workers(redis_url: str, tmp_path: Path) -> None:
    """`nightshift worker --count 0` needs no login, and does the batches' work where its data dir is."""
    connection = Redis.from_url(redis_url)
    batches = Batches(connection, Settings(data_dir=tmp_path / "data"))
    upload = batches.files.draft()
    upload.write(batch_line("a"))
    file_id = batches.files.keep(upload, filename="night.jsonl", purpose=Purpose.BATCH).id
    made = batches.create(NewBatch(input_file_id=file_id, endpoint=CHAT_COMPLETIONS))
    with part(redis_url, tmp_path, "worker", "--count", "0", "--data-dir", str(tmp_path / "data")) as process:
        wait_until(lambda: batches.require(made.id).status is BatchStatus.IN_PROGRESS)
        assert psutil.Process(process.pid).children(recursive=True) == []


def test_any_number_of_apis_share_a_directory(redis_url: str, tmp_path: Path) -> None:
    """Two of them on one data dir: one feeds, both do the maintenance."""
    connection = Redis.from_url(redis_url)
    options = ("--port", "0", "--data-dir", str(tmp_path / "data"))
    with part(redis_url, tmp_path, "api", *options), part(redis_url, tmp_path, "api", *options):
        wait_until(lambda: len(supervisors.read_all(connection)) == 2)
        wait_until(lambda: len(leadership.leaders(connection)) == 1)


def test_callbacks_alone_deliver(redis_url: str, tmp_path: Path) -> None:
    """With nothing else running, an event that is due is delivered, signed with the secret that Redis has."""
    connection = Redis.from_url(redis_url)
    jobs = Jobs(connection, Settings())
    connection.set(SHARED, make_secret())
    with receiver.running() as heard:
        record = replace(new_record("chatcmpl-1"), callback_url=heard.url())
        jobs.submit(record, {})
        jobs.cancel(record.id)
        with part(redis_url, tmp_path, "callbacks", NIGHTSHIFT_CALLBACK_ALLOWED_HOSTS="127.0.0.1"):
            heard.wait_for(1)
    assert "webhook-signature" in heard.received[0].headers


def test_callbacks_alone_without_a_secret(redis_url: str, tmp_path: Path) -> None:
    """They say what to set, and that a `nightshift up` shares its own."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
    argv = [sys.executable, "-P", "-m", "ops.cli.main", "callbacks"]
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert said.returncode == 2
    assert "NIGHTSHIFT_WEBHOOK_SECRET" in said.stderr


def test_two_on_one_redis_sign_with_one_secret(up: Start, redis_url: str) -> None:
    """The second `nightshift up` takes the secret that the first has made; a receiver knows both."""
    one = up(name="one", REDIS_URL=redis_url).started()
    two = up(name="two", REDIS_URL=redis_url).started()
    first, second = (each.named("api.server").environ()["NIGHTSHIFT_WEBHOOK_SECRET"] for each in (one, two))
    assert first == second
    assert first in one.output and first not in two.output


def test_another_secret_is_refused_at_the_start(up: Start, redis_url: str) -> None:
    """With a secret of its own that has nothing in common, the second says which machine signs otherwise, and ends."""
    one = up(name="one", REDIS_URL=redis_url).started()
    wait_until(lambda: bool(supervisors.read_all(Redis.from_url(redis_url))))
    two = up(name="two", REDIS_URL=redis_url, NIGHTSHIFT_WEBHOOK_SECRET=make_secret())
    assert two.ended() == 1
    assert str(one.data_dir) in two.output and "another secret" in two.output
    secret = one.named("api.server").environ()["NIGHTSHIFT_WEBHOOK_SECRET"]
    rotated = up(name="three", REDIS_URL=redis_url, NIGHTSHIFT_WEBHOOK_SECRET=f"{make_secret()} {secret}")
    rotated.started()


@pytest.mark.parametrize("sent", ["-1", "257", "x"])
def test_a_wrong_number_of_workers(sent: str, tmp_path: Path) -> None:
    """0 to 256 may be asked for."""
    argv = [sys.executable, "-P", "-m", "ops.cli.main", "worker", "--count", sent]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert said.returncode == 2 and "--count" in said.stderr


def _status(jobs: Jobs, job_id: str) -> Status | None:
    found: JobRecord | None = jobs.get(job_id)
    return found.status if found else None
