"""A backup is made while a batch runs, and another Nightshift goes on from it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ops import backup
from ops.supervisor.errors import StackError
from tests.acceptance.stack import ROOT, Stack, running
from tests.acceptance.test_batches import done, line, read, start, wait
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

LINES = 60
started = contextmanager(running)


def nightshift(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "ops.cli.main", *map(str, args)]
    return subprocess.run(
        argv, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A backup, and what there was: a job that was answered, and a batch of which some lines had been."""
    target = tmp_path_factory.mktemp("backups") / "night.tgz"
    with started(Stack()) as stack:
        stack.simulator.add_rule({"echo": True}, latency_ms=100)
        job_id = stack.submit("Remember me.")
        job = stack.wait_for(job_id)
        batch_id = start(stack, [line(str(number)) for number in range(LINES)]).id
        wait_until(lambda: done(stack, batch_id) >= 5, "some of the batch")
        written = nightshift("backup", target, "--data-dir", stack.data_dir)
        assert (written.returncode, written.stdout) == (0, ""), written.stderr
        assert done(stack, batch_id) < LINES
        # The one that it was made of ends as ever.
        assert wait(stack, batch_id).status == "completed"
        return target, {"job": job, "batch": batch_id, "secret": (stack.data_dir / "webhook-secret").read_text()}


def test_another_goes_on_from_it(made: tuple[Path, dict[str, Any]]) -> None:
    """What was answered is there, what was not is asked, and each line of the batch is once in its output."""
    target, known = made
    found = Stack()
    restored = nightshift("restore", target, "--data-dir", found.data_dir)
    assert restored.returncode == 0, restored.stderr
    with started(found) as stack:
        assert stack.job(known["job"]["id"]) == known["job"]
        assert (stack.data_dir / "webhook-secret").read_text() == known["secret"]
        batch = wait(stack, known["batch"])
        assert batch.status == "completed"
        lines = read(stack, batch.output_file_id)
        assert Counter(one["custom_id"] for one in lines) == Counter(map(str, range(LINES)))
        assert 0 < len(stack.asked("Say ")) < LINES
        told = nightshift("restore", target, "--data-dir", stack.data_dir)
        assert (told.returncode, "There is" in told.stderr) == (1, True)


def test_nobody_else_can_read_it(made: tuple[Path, dict[str, Any]]) -> None:
    assert made[0].stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_not_overwritten(made: tuple[Path, dict[str, Any]]) -> None:
    told = nightshift("backup", made[0])
    assert (told.returncode, "--force" in told.stderr) == (2, True)


def test_where_none_runs_the_folder_is_its_own_backup(tmp_path: Path) -> None:
    told = nightshift("backup", tmp_path / "night.tgz", "--data-dir", tmp_path)
    assert told.returncode == 1
    assert "a copy of that folder is a backup" in told.stderr


def test_a_redis_of_the_users_has_its_own_way(tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        told = nightshift(command, tmp_path / "night.tgz", REDIS_URL="redis://127.0.0.1:1/0")
        assert told.returncode == 2
        assert "its own way to be backed up" in told.stderr


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_part_of_one_is_refused(made: tuple[Path, dict[str, Any]], tmp_path: Path, share: float) -> None:
    """And nothing of it is left in the data dir."""
    whole = made[0].read_bytes()
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StackError, match=r"cut\.tgz is no"):
        backup.restore(cut, tmp_path / "data")
    assert [*(tmp_path / "data").iterdir()] == []


def test_a_byte_that_is_another_is_noticed(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    whole = bytearray(made[0].read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "bad.tgz").write_bytes(whole)
    with pytest.raises(StackError):
        backup.restore(tmp_path / "bad.tgz", tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["notes.txt"], "is no backup"),
        (["backup.json", "../elsewhere"], "which no backup has"),
        (["backup.json", "batches/../../elsewhere"], "which no backup has"),
        (["backup.json", "redis/redis.sock"], "which no backup has"),
        (["backup.json", "batches/.place"], "not the whole"),
        (["backup.json", "backup.json"], "is no backup"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    about = json.dumps({"created_at": 0, "version": "0.1.0", "server": "Valkey 9.1.2", "format": 1}).encode()
    _write(tmp_path / "other.tgz", names, about)
    with pytest.raises(StackError, match=words):
        backup.restore(tmp_path / "other.tgz", tmp_path / "a" / "data")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "other.tgz"]


def test_one_of_a_later_format_names_its_version(tmp_path: Path) -> None:
    about = {"created_at": 0, "version": "9.0.0", "server": "Valkey 19.0.0", "format": 2, "more": True}
    _write(tmp_path / "later.tgz", ["backup.json"], json.dumps(about).encode())
    with pytest.raises(StackError, match=r"newer Nightshift \(9\.0\.0\)"):
        backup.restore(tmp_path / "later.tgz", tmp_path / "data")


def _write(path: Path, names: list[str], content: bytes) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
