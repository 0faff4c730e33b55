"""What the embedded Redis keeps of what it has acknowledged."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from ops.supervisor import redis_server
from tests.needs import needs
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: a disk that takes its time
_SLOW_DISK = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void nap(void) { struct timespec time = {1, 500000000}; nanosleep(&time, 0); }
int fsync(int file) { nap(); return syscall(SYS_fsync, file); }
int fdatasync(int file) { nap(); return syscall(SYS_fdatasync, file); }
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Of a short name, for the socket's sake."""
    found = Path(tempfile.mkdtemp(prefix="nightshift-"))
    yield found
    shutil.rmtree(found)


def started(server: redis_server.RedisServer, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(server.argv, env=dict(env))
    wait_until(server.ready, "an answer of Redis")
    return process


def test_a_killed_redis_has_what_it_acknowledged_on_a_slow_disk_too(directory: Path) -> None:
    """Not one acknowledged write is lost with a kill -9, in the midst of a sync that takes seconds either."""
    slow = directory / "slow.so"
    subprocess.run(
        [needs("cc", "gcc"), "-shared", "-fPIC", "-o", str(slow), "-xc", "-"], input=_SLOW_DISK.encode(), check=True
    )
    server = redis_server.place(directory)
    process = started(server, {**os.environ, "LD_PRELOAD": str(slow)})
    client = Redis(unix_socket_path=str(server.socket))
    acknowledged = 0
    try:
        end = time.monotonic() + 4.3
        while time.monotonic() < end:
            client.rpush("written", acknowledged)
            acknowledged += 1
    finally:
        process.kill()
        process.wait()
    process = started(server, os.environ)
    try:
        found: Any = client.llen("written")
        assert found == acknowledged
    finally:
        process.kill()
        process.wait()


def test_what_was_written_is_synced_whatever_a_rewrite_does(directory: Path) -> None:
    """The call that bounds what a power cut takes works before there is a file, and in the midst of rewrites."""
    server = redis_server.place(directory)
    server.sync()
    process = started(server, os.environ)
    try:
        client = Redis(unix_socket_path=str(server.socket))
        for number in range(20):
            client.set("key", number)
            try:
                client.bgrewriteaof()
            except RedisError:
                continue  # one is under way
            server.sync()
        assert list((server.directory / "appendonlydir").glob("*.incr.aof"))
        # The child that rewrites outlives its server, and writes on while the directory is removed.
        info: Any = client.info
        wait_until(lambda: not info("persistence")["aof_rewrite_in_progress"], "the end of the last rewrite")
    finally:
        process.kill()
        process.wait()
