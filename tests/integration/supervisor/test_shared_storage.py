"""Two machines with data dirs of their own, one Redis, one bucket: as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app.batches import leadership
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.record import BatchStatus
from app.batches.store import Batches
from app.error_codes import ErrorCode
from app.settings import Settings
from chaos.stack import free_port
from chaos.until import PATIENCE_SECONDS, wait_until
from tests.fake_worker import FakeWorker
from tests.integration.supervisor.conftest import ROOT
from tests.integration.supervisor.test_parts_alone import batch_line, part, post
from tests.s3 import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3 import S3ForTests

URL = "s3://nightshift/night"


def upload(port: int, data: bytes) -> dict[str, Any]:
    boundary = b"--x\r\nContent-Disposition: form-data; name="
    form = boundary + b'"purpose"\r\n\r\nbatch\r\n' + boundary
    form += b'"file"; filename="night.jsonl"\r\n\r\n' + data + b"\r\n--x--\r\n"
    return post(f"http://127.0.0.1:{port}/v1/files", form, "multipart/form-data; boundary=x")


def content(port: int, file_id: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/files/{file_id}/content") as answer:
        found: bytes = answer.read()
    return found


def test_the_machine_that_feeds_dies(redis_url: str, tmp_path: Path, s3: S3ForTests) -> None:
    """Uploaded at one API, made a batch of at the other; whoever feeds it is killed, and the other completes it. Then the store refuses."""
    connection = Redis.from_url(redis_url)
    settings = Settings(data_dir=tmp_path / "none", redis_url=redis_url, storage=URL)
    batches, worker, ports = Batches(connection, settings), FakeWorker(connection), (free_port(), free_port())
    environ = {"NIGHTSHIFT_STORAGE": URL, **s3.environment}
    options = [("api", "--port", str(port), "--data-dir", str(tmp_path / str(port))) for port in ports]
    with part(redis_url, tmp_path, *options[1], **environ):
        wait_until(lambda: bool(leadership.leaders(connection)))
        (second,) = leadership.leaders(connection)
        # The other one leads from now on: it is there when the lease is free.
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
        argv = [sys.executable, "-P", "-m", "ops.cli.main", *options[0]]
        first = subprocess.Popen(argv, env=env | environ, cwd=tmp_path, start_new_session=True)
        try:
            _wait_for_api(ports[0])
            file_id = upload(ports[0], b"".join(batch_line(name) for name in "abcdef"))["id"]
            new = {"input_file_id": file_id, "endpoint": CHAT_COMPLETIONS, "completion_window": "24h"}
            batch_id = post(f"http://127.0.0.1:{ports[1]}/v1/batches", json.dumps(new).encode())["id"]
            _answer(worker)
            wait_until(lambda: batches.require(batch_id).completed == 1)
            _answer(worker)
            _pause(second.process, signal.SIGSTOP)
            wait_until(lambda: [one.process for one in leadership.leaders(connection)] not in ([], [second.process]))
            _answer(worker)
            wait_until(lambda: batches.require(batch_id).completed >= 2)
            _pause(second.process, signal.SIGCONT)
            first.send_signal(signal.SIGKILL)
            first.wait(PATIENCE_SECONDS)
            for _ in range(3):
                _answer(worker)
            wait_until(lambda: batches.require(batch_id).status is BatchStatus.COMPLETED)
        finally:
            _pause(second.process, signal.SIGCONT)
            first.kill()
            first.wait(PATIENCE_SECONDS)
        ended = batches.require(batch_id)
        answered = [json.loads(line)["custom_id"] for line in content(ports[1], ended.output_file).splitlines()]
        assert sorted(answered) == list("abcdef")
        assert not list(tmp_path.rglob("file-*"))
        _refuses(s3, ports[1], ended.output_file)


def _refuses(s3: S3ForTests, port: int, file_id: str) -> None:
    """What a client is told of a store that takes nothing, and of an output that somebody has altered."""
    s3.fail(Fault.REFUSED, "PUT|POST", "")
    with pytest.raises(urllib.error.HTTPError) as refused:
        upload(port, batch_line("a"))
    error = json.loads(refused.value.read())["error"]
    assert (refused.value.code, error["code"]) == (503, ErrorCode.STORAGE_UNAVAILABLE)
    assert "s3://nightshift/night does not allow it" in error["message"]
    s3.fail(Fault.FULL, "PUT|POST", "")
    with pytest.raises(urllib.error.HTTPError) as full:
        upload(port, batch_line("a"))
    assert json.loads(full.value.read())["error"]["code"] == ErrorCode.STORAGE_FULL
    s3.heal()
    s3.put(f"night/files/{file_id}/00000000", b"forged")
    with pytest.raises(urllib.error.HTTPError) as altered:
        content(port, file_id)
    assert json.loads(altered.value.read())["error"]["code"] == ErrorCode.FILES_ALTERED


def _answer(worker: FakeWorker) -> None:
    lease, _ = worker.take()
    worker.answer(lease)


def _pause(process: str, number: int) -> None:
    """A leader's process, `HOST:PID`."""
    os.kill(int(process.rpartition(":")[2]), number)


def _wait_for_api(port: int) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    wait_until(answers)


def test_a_storage_that_can_t_be_used_is_said_at_the_start(redis_url: str, tmp_path: Path, s3: S3ForTests) -> None:
    """By one line, in which there is no secret; and by the doctor."""
    del s3
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
    env |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for command, url, words in (
        (["worker", "--count", "0"], "s3://nowhere/night", "there is no bucket for s3://nowhere/night"),
        (["up", "--offline", "--port", "0"], "s3://me:hunter2@nightshift", "takes no login and no option"),
        (["doctor", "--offline", "--no-request"], "s3://nowhere/night", "FAIL  Storage        there is no bucket"),
    ):
        argv = [sys.executable, "-P", "-m", "ops.cli.main", *command]
        said = subprocess.run(
            argv,
            env={**env, "NIGHTSHIFT_STORAGE": url},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert said.returncode in (1, 2)
        assert words in said.stderr + said.stdout
        assert not {"hunter2", "secret-of-tests"} & set(
            (said.stderr + said.stdout).replace("@", " ").replace(":", " ").split()
        )
