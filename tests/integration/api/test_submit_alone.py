"""`nightshift batch submit` to an API beside which nobody does the batches' work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.leadership import Leadership
from app.batches.storage.local_disk import LocalDisk
from tests.integration.api.running import ROOT, RunningApi, api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis


@pytest.fixture
def alone(_redis_for_session: Any, connection: Redis, tmp_path: Path) -> Iterator[RunningApi]:
    del connection
    with api(_redis_for_session.url, NIGHTSHIFT_DATA_DIR=str(tmp_path)) as running:
        yield running


def command(running: RunningApi, *args: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli.main", *map(str, args), "--url", running.url]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


def test_the_id_comes_at_once_and_why_nothing_moves_soon(alone: RunningApi, tmp_path: Path) -> None:
    """Nobody is left before a silent terminal: id and page first, after five seconds why, and the command ends."""
    path = tmp_path / "lines.txt"
    path.write_text("hi\n")
    argv = [sys.executable, "-m", "ops.cli.main", "batch", "submit", str(path), "--template", "{text}"]
    process = subprocess.Popen(
        [*argv, "--url", alone.url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    batch_id = process.stdout.readline().strip()
    named_at = time.monotonic()
    _, told = process.communicate(timeout=120)
    assert time.monotonic() - named_at > 3
    assert process.returncode == 0
    assert f"/batches/{batch_id}" in told.splitlines()[0]
    assert "no process does the batches' work. Start nightshift up" in told
    status = command(alone, "status")
    assert "WARNING      Nobody does the batches' work" in status.stdout


def test_a_batch_that_nobody_runs_says_so(alone: RunningApi, connection: Redis, tmp_path: Path) -> None:
    """Its lines are in no hurry and in no doubt: where no worker is, the batch says that it waits for one."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="night.jsonl"\r\n\r\n{}\r\n--x--\r\n'
    )
    file_id = alone.ask("POST", "/v1/files", form, {"Content-Type": "multipart/form-data; boundary=x"}).json["id"]
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = alone.ask("POST", "/v1/batches", json.dumps(body).encode()).json
    assert (made["nightshift"]["waiting_for"], made["nightshift"]["input_name"]) == ("no_feeder", "night.jsonl")
    leader = Leadership(connection, LocalDisk(tmp_path / "batches"))
    assert leader.hold()
    connection.hset(f"nightshift:batch:{made['id']}", mapping={"status": "in_progress", "total": "1"})
    found = alone.ask("GET", f"/v1/batches/{made['id']}").json["nightshift"]
    assert found["waiting_for"] == "no_workers"
    leader.close()
