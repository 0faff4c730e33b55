from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError

from chaos.stack import command_of
from chaos.until import wait_until
from tests.integration.supervisor.conftest import ROOT, STAND_INS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.supervisor.conftest import Up

    Start = Callable[..., Up]

#: what a stand-in of a worker has as its child
SLEEPER = f"{sys.executable} -c import time; time.sleep(600)"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG and subreapers are Linux's")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(up: Start, number: int) -> None:
    """Asked to stop, it leaves no process, and says so with exit status 0."""
    one = up().started()
    assert len(one.seen) >= 5  # redis, api, two workers with a child each, callbacks
    began = time.monotonic()
    one.process.send_signal(number)
    assert one.ended() == 0
    assert time.monotonic() - began < 30
    assert one.nothing_left()
    assert "Stopped." in one.output


@pytest.mark.parametrize("by", [(), ("nohup",)])
def test_a_terminal_that_is_closed(up: Start, by: tuple[str, ...]) -> None:
    """Its end stops everything, unless `nohup` has started it: then nothing ends until `nightshift stop`."""
    ours, terminal = os.openpty()
    one = up(by=by, terminal=terminal).started()
    os.close(terminal)
    before = one.look()
    os.close(ours)  # the kernel sends SIGHUP
    if by:
        time.sleep(1)
        assert one.process.poll() is None
        assert one.look() == before
        argv = [sys.executable, "-m", "ops.cli.main", "stop", "--data-dir", str(one.data_dir)]
        assert subprocess.run(argv, cwd=ROOT, check=False, timeout=120).returncode == 0
        assert one.process.wait(10) == 0
    assert one.ended() == 0
    assert one.nothing_left()


def test_stop_without_one_that_runs(tmp_path: Path) -> None:
    """`nightshift stop` says that there is nothing to stop, which is what was wanted."""
    argv = [sys.executable, "-m", "ops.cli.main", "stop", "--data-dir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, check=False, timeout=120, capture_output=True, text=True)
    assert (done.returncode, f"No Nightshift runs on {tmp_path}" in done.stderr) == (0, True)


def test_a_restart_whose_new_process_fails(up: Start) -> None:
    """The new API ends before it begins: the old one goes on, and so do all others."""
    one = up().started()
    before = one.look()
    (one.data_dir / "broken").touch()
    argv = [sys.executable, "-m", "ops.cli.main", "restart", "--data-dir", str(one.data_dir)]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=120)
    wait_until(lambda: "did not begin" in one.output)
    assert one.look() == before


@linux_only
def test_a_stubborn_worker_is_killed_in_time(up: Start) -> None:
    """A worker that ignores SIGTERM does not keep the stop from ending."""
    one = up(STUBBORN="1").started()
    began = time.monotonic()
    one.process.send_signal(signal.SIGTERM)
    assert one.ended() == 0
    # A stop gives six seconds; the rest is for a busy machine.
    assert 4 < time.monotonic() - began < 30
    assert one.nothing_left()


def test_a_second_ctrl_c_ends_everything_at_once(up: Start) -> None:
    """Ctrl-C again while stopping does not wait for anybody."""
    one = up(STUBBORN="1").started()
    began = time.monotonic()
    one.process.send_signal(signal.SIGINT)
    wait_until(lambda: "at once" in one.output)
    one.process.send_signal(signal.SIGINT)
    assert one.ended() == 0
    # Sooner than the six seconds after which a stubborn worker is killed anyhow.
    assert time.monotonic() - began < 6
    assert one.nothing_left()


@linux_only
def test_kill_of_the_command_leaves_no_process(up: Start) -> None:
    """Its direct children end by the kernel's hand when it is killed, and the next start finds all data."""
    one = up().started()
    children = [p for p in one.look() if p.ppid() == one.process.pid]
    Redis.from_url(one.redis_url).set("kept", "yes")
    one.kill()
    wait_until(lambda: not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    two = up().started()
    assert Redis.from_url(two.redis_url).get("kept") == b"yes"


def test_kill_of_everything_is_survived(up: Start) -> None:
    """After a kill -9 of the command, of Redis and of all else a start on the same data dir just works, data and all."""
    one = up().started()
    with Redis.from_url(one.redis_url) as client:
        client.rpush("list", *range(1000))
    for process in [psutil.Process(one.process.pid), *one.look()]:
        process.kill()
    one.process.wait()
    two = up().started()
    with Redis.from_url(two.redis_url) as client:
        assert client.llen("list") == 1000


def test_a_server_that_outlived_its_supervisor_is_ended(up: Start) -> None:
    """Where the kernel does not end children, the next start does: a Redis that still lives on the data is stopped first."""
    one = up().started()
    redis = one.named("valkey-server", "redis-server")
    redis.send_signal(signal.SIGSTOP)  # it can't hear that its parent is gone
    one.kill()
    two = up().started()
    assert not redis.is_running() or redis.status() == psutil.STATUS_ZOMBIE
    assert Redis.from_url(two.redis_url).ping()


def test_a_second_start_is_refused(up: Start) -> None:
    """The refusal names the process and the address of the one that runs, and leaves it alone."""
    one = up().started()
    address = next(line.split()[1] for line in one.output.splitlines() if line.strip().startswith("API"))
    two = up()
    assert two.ended() == 1
    assert f"process {one.process.pid}, {address.removesuffix('/v1')}" in two.output
    assert one.process.poll() is None


def test_a_dead_worker_is_replaced_under_a_new_name(up: Start) -> None:
    """A killed worker takes what it left with it, and a new process with a new worker name comes."""
    one = up("--workers", "1").started()
    worker = one.named("chat_worker")
    (grandchild,) = worker.children()
    name = worker.cmdline()[-1]
    worker.kill()
    wait_until(lambda: [p for p in one.running("chat_worker") if p.pid != worker.pid and p.cmdline()[-1] != name])
    if sys.platform == "linux":
        wait_until(lambda: not grandchild.is_running())


def test_a_dead_redis_comes_back_with_its_data(up: Start) -> None:
    """Redis killed alone is started again at the same address within seconds."""
    one = up().started()
    url = one.redis_url
    with Redis.from_url(url) as client:
        client.set("kept", "yes")
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        with contextlib.suppress(RedisError), Redis.from_url(url) as client:
            return bool(client.get("kept") == b"yes")
        return False

    wait_until(answers)


def test_a_torn_end_of_the_data_is_dropped(up: Start) -> None:
    """A file whose last command was cut off by a crash loads up to there."""
    one = up().started()
    with Redis.from_url(one.redis_url) as client:
        client.set("kept", "yes")
    one.process.terminate()
    one.ended()
    file = max((one.data_dir / "redis" / "appendonlydir").glob("*.incr.aof"))
    with file.open("ab") as end:
        end.write(b"*3\r\n$3\r\nSET\r\n$4\r\ntor")
    two = up().started()
    assert Redis.from_url(two.redis_url).get("kept") == b"yes"


@pytest.mark.parametrize("name", ["with spaces = and ünusual", "long-" * 25])
def test_any_path_will_do(up: Start, name: str) -> None:
    """A data dir whose path a socket can't have, or RQ can't read, works, and keeps its private place outside tidy."""
    one = up(name=name).started()
    with Redis.from_url(one.redis_url) as client:
        assert client.client_list()  # every RQ worker asks for it
    outside = Path((one.data_dir / "redis" / "socket-directory").read_text())
    assert outside.stat().st_mode & 0o077 == 0
    one.process.terminate()
    one.ended()
    assert not outside.exists()


def test_offline_knows_no_login(up: Start) -> None:
    """Offline, the processes get the simulator's address and a made-up key, and nothing of the user's login or proxy."""
    one = up(
        "--offline", ANTHROPIC_API_KEY="real", CLAUDE_CODE_OAUTH_TOKEN="real", HTTPS_PROXY="http://proxy"
    ).started()
    env = one.named("api.server").environ()
    assert env["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert "real" not in env.values()
    assert "HTTPS_PROXY" not in env
    assert env["NIGHTSHIFT_OFFLINE"] == "1"
    assert "OFFLINE: answers are simulated" in one.output


def test_no_login_is_explained(up: Start) -> None:
    """Without a login and without --offline nothing starts, and the message says how to get one."""
    one = up(ANTHROPIC_API_KEY="")
    assert one.ended() == 2
    for word in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "claude setup-token", "--offline"):
        assert word in one.output
    assert "Starting" not in one.output


def test_a_taken_port_is_told_before_anything_starts(up: Start) -> None:
    """A port that somebody else listens on is refused by its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        one = up("--port", port)
        assert one.ended() == 1
    assert f"port {port}" in one.output
    assert "Starting" not in one.output


def test_an_open_address_needs_keys(up: Start) -> None:
    """An address that others can reach is refused without NIGHTSHIFT_API_KEYS."""
    one = up("--host", "0.0.0.0")
    assert one.ended() == 2
    assert "NIGHTSHIFT_API_KEYS" in one.output


def test_the_secret_is_shown_once(up: Start) -> None:
    """The webhook secret is made at the first start, shown then unless a journal would keep it, and the same later."""
    none = up(JOURNAL_STREAM="8:1").started()
    kept = none.data_dir / "webhook-secret"
    assert kept.read_text().strip() not in none.output
    none.process.terminate()
    none.ended()
    kept.unlink()
    one = up().started()
    secret = kept.read_text().strip()
    assert secret in one.output
    one.process.terminate()
    one.ended()
    two = up().started()
    assert secret not in two.output
    assert two.named("api.server").environ()["NIGHTSHIFT_WEBHOOK_SECRET"] == secret


def test_a_failed_start_says_why_and_leaves_nothing(up: Start, tmp_path: Any) -> None:
    """A Redis that can't load its data ends the start with the server's own words, and exit status 1."""
    directory = tmp_path / "data" / "redis" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text("nonsense\n")
    one = up()
    assert one.ended() == 1
    assert "redis ended with exit status 1" in one.output
    assert "AOF" in one.output


def test_workers_alone_are_supervised(redis_url: str, tmp_path: Path) -> None:
    """`nightshift worker` keeps its workers running on somebody else's Redis, and ends them when asked to."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(STAND_INS), str(ROOT)]),
    }
    env |= {"REDIS_URL": redis_url, "ANTHROPIC_API_KEY": "a-key"}
    command = [
        sys.executable,
        "-P",
        "-m",
        "ops.cli.main",
        "worker",
        "--count",
        "2",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    with subprocess.Popen(command, env=env, cwd=tmp_path, start_new_session=True) as process:
        supervisor = psutil.Process(process.pid)
        try:
            # Each stand-in has a child. How many others there are, such as the process that workers are forked from, may change.
            wait_until(lambda: [command_of(p) for p in supervisor.children(recursive=True)].count(SLEEPER) == 2)
            tree = supervisor.children(recursive=True)
        finally:
            process.terminate()
        assert process.wait(120) == 0
    assert not [p for p in tree if p.is_running()]
