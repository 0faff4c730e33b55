"""The end of Redis' append-only files: what is whole is found, what is not is cut off and kept."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app.settings import Settings
from chaos.until import wait_until
from ops.cli import up
from ops.doctor import redis as doctor
from ops.supervisor import aof, redis_server
from ops.supervisor.errors import StackError
from ops.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.supervisor.redis_server import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """An embedded server's place, of a short name for the socket's sake."""
    directory = Path(tempfile.mkdtemp(prefix="nightshift-"))
    yield redis_server.place(directory)
    shutil.rmtree(directory)


class Running:
    """`with Running(server) as redis`: killed at the end, like a power cut that comes after the last sync."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._client = Redis(unix_socket_path=str(server.socket))

    def __enter__(self) -> Any:
        self._process = subprocess.Popen(self._server.argv, env=dict(os.environ))
        wait_until(lambda: self._process.poll() is not None or self._server.ready(), "an answer of Redis")
        assert self._process.poll() is None, self._server.last_words()
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(120)


def refuses(server: RedisServer) -> bool:
    """Whether it ends instead of loading its data."""
    process = subprocess.Popen(server.argv, env=dict(os.environ))
    try:
        wait_until(lambda: process.poll() is not None or server.ready(), "an answer or an end of Redis")
        return process.poll() is not None
    finally:
        process.kill()
        process.wait(120)


def filled(server: RedisServer) -> Path:
    """Its increment, with single commands and transactions, the last of which is job chatcmpl-last's."""
    with Running(server) as redis:
        for number in range(20):
            redis.set(f"before-{number}", b"\r\n*1\r\n$4\r\nEXEC\r\n")
        pipe = redis.pipeline()
        for name in ("a", "b"):
            pipe.hset("nightshift:job:chatcmpl-last", name, "x" * 300)
        pipe.execute()
    (path,) = aof.increments(server.directory)
    return path


def without_last(path: Path) -> int:
    """The byte at which the last transaction begins."""
    return path.read_bytes().rindex(b"*1\r\n$5\r\nMULTI\r\n")


def test_a_healthy_file_is_whole(server: RedisServer) -> None:
    """Values that look like commands, transactions, and what a rewrite leaves behind are read as they are."""
    path = filled(server)
    assert aof.scan(path).is_whole
    with Running(server) as redis:
        redis.config_set("aof-timestamp-enabled", "yes")
        redis.bgrewriteaof()
        wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "the rewrite")
        redis.set("after", "1")
    (path,) = aof.increments(server.directory)
    assert b"#TS:" in path.read_bytes()
    assert aof.scan(path).is_whole


def test_a_healthy_file_is_not_touched(server: RedisServer) -> None:
    """Nor is anything said, though its server was refused for some other reason."""
    path = filled(server)
    before = (path.stat().st_mtime_ns, path.read_bytes())
    assert aof.mend(server.directory, was_refused=True) == ""
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert not (server.directory / aof.DAMAGED).exists()


def test_zeros_at_the_end(server: RedisServer) -> None:
    """Redis does not start with them; they are cut off, and nothing that was written before them is missing."""
    path = filled(server)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert refuses(server)
    said = aof.mend(server.directory, was_refused=False)
    assert "4096 bytes" in said
    assert path.read_bytes() == whole
    (kept,) = (server.directory / aof.DAMAGED).glob("*-from-byte-*")
    assert kept.read_bytes() == bytes(4096)
    with Running(server) as redis:
        assert redis.hlen("nightshift:job:chatcmpl-last") == 2


def test_zeros_in_the_midst_of_a_transaction(server: RedisServer) -> None:
    """The whole of it goes, and what it was about is named."""
    path = filled(server)
    before = path.read_bytes()
    begins = without_last(path)
    for cut in (begins + 15, begins + 200, len(before) - 1):
        path.write_bytes(before[:cut] + bytes(5000))
        said = aof.mend(server.directory, was_refused=False)
        assert path.read_bytes() == before[:begins]
        assert ("chatcmpl-last" in said) == (cut > begins + 100)
    with Running(server) as redis:
        assert redis.dbsize() == 20


def test_a_cut_anywhere_leaves_whole_commands(server: RedisServer) -> None:
    """Wherever the damage begins, and whatever it is, Redis starts with what was whole."""
    path = filled(server)
    before = path.read_bytes()
    chance = random.Random(1)
    for _ in range(200):
        cut = chance.randrange(1, len(before))
        noise = chance.choice([b"", bytes(chance.randrange(1, 600)), chance.randbytes(50) + b"\0"])
        path.write_bytes(before[:cut] + noise)
        aof.mend(server.directory, was_refused=True)
        left = path.read_bytes()
        assert before.startswith(left)
        assert aof.scan(path).is_whole
        assert len(left) >= min(cut, without_last_of(before)) - 60
    with Running(server) as redis:
        assert redis.dbsize() <= 20


def without_last_of(data: bytes) -> int:
    """The byte at which the last transaction begins."""
    return data.rindex(b"*1\r\n$5\r\nMULTI\r\n")


def test_what_comes_after_the_damage_goes_too(server: RedisServer) -> None:
    """A rewrite was under way, and the file before the last is damaged: what is left is what there was at one moment."""
    path = filled(server)
    begins = without_last(path)
    later = path.with_name(path.name.replace(".1.incr", ".2.incr"))
    manifest = path.with_name("appendonly.aof.manifest")
    manifest.write_text(manifest.read_text() + f"file {later.name} seq 2 type i\n")
    later.write_bytes(b"*3\r\n$3\r\nSET\r\n$5\r\nlater\r\n$1\r\n1\r\n")
    path.write_bytes(path.read_bytes()[: begins + 100] + bytes(100))
    assert aof.mend(server.directory, was_refused=False)
    assert (path.stat().st_size, later.stat().st_size) == (begins, 0)
    with Running(server) as redis:
        assert redis.dbsize() == 20


def test_a_torn_transaction_that_ends_like_a_command(server: RedisServer) -> None:
    """Redis drops it by itself; neither a beginning of it is loaded."""
    path = filled(server)
    before = path.read_bytes()
    path.write_bytes(before[: before.rindex(b"*1\r\n$4\r\nEXEC\r\n")])
    assert aof.mend(server.directory, was_refused=False) == ""
    with Running(server) as redis:
        assert redis.dbsize() == 20


def test_nothing_is_cut_that_can_not_be_kept(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk the file stays as it is, and the start says why it can't go on."""
    path = filled(server)
    with path.open("ab") as file:
        file.write(bytes(100))
    before = path.read_bytes()
    (server.directory / aof.DAMAGED).write_text("a file is in the way")
    with pytest.raises(StackError, match="can't be kept"):
        aof.mend(server.directory, was_refused=False)
    assert path.read_bytes() == before


def test_a_start_cuts_the_file_and_says_so(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Zeros in the last file, or in the one before it: `up` starts Redis all the same, and the doctor tells of it."""
    path = filled(server)
    for later in (False, True):
        if later:
            with path.open("r+b") as file:
                file.seek(without_last(path) + 20)
                file.write(bytes(30))  # it ends like a command: Redis has to be heard
        else:
            path.write_bytes(path.read_bytes() + bytes(100))
        with Supervisor() as supervisor:
            lost = up._start_redis(supervisor, server)
            assert server.ready()
        assert "cut off" in lost
        assert lost in caplog.text
    settings = Settings(data_dir=server.directory.parent)
    told = [finding for finding in doctor.look(settings) if finding.subject == "Redis' file"]
    assert told
    assert all(finding.level == "warn" for finding in told)


def test_a_start_that_can_not_be_mended_says_where_to_read_on(server: RedisServer) -> None:
    """The base is damaged: nothing is touched, and the error names the runbook and no tool that is not there."""
    filled(server)
    (base,) = (server.directory / aof.DIRECTORY).glob("*.base.rdb")
    base.write_bytes(b"REDIS0011" + bytes(100))
    with Supervisor() as supervisor, pytest.raises(StackError, match="Redis does not start") as raised:
        up._start_redis(supervisor, server)
    assert "check-aof" not in str(raised.value)
    assert base.read_bytes() == b"REDIS0011" + bytes(100)
