"""`nightshift doctor` as a user types it: all that can be wrong is named, with what to do about it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from redis import Redis

from app import hashes, supervisors
from app.batches.record import ACTIVE
from app.settings import Settings
from ops.cli import doctor as command
from ops.doctor import claude, redis
from simulator.process import RunningSimulator, running_simulator

if TYPE_CHECKING:
    from tests.redis_server import RedisForTests

ROOT = Path(__file__).parents[2]


def doctor(tmp_path: Path, *args: str, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Its exit status, and the findings by subject."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    kept |= {"PYTHONPATH": str(ROOT)}
    env = {
        **kept,
        "HOME": str(tmp_path),
        "NIGHTSHIFT_PORT": "0",
        "NIGHTSHIFT_DATA_DIR": str(tmp_path / "data"),
        **environment,
    }
    argv = [sys.executable, "-m", "ops.cli.main", "doctor", "--json", *args]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    for one in found:
        assert bool(one["mend"]) == (one["level"] != "ok"), "what is wrong has a way to mend it"
    return done.returncode, {one["subject"]: one for one in found}


def test_all_is_well_offline(tmp_path: Path) -> None:
    """Simulated, with a port that is free: nothing to mend, and nothing is left in the data dir."""
    status, found = doctor(tmp_path, "--offline")
    assert status == 0
    assert {one["level"] for one in found.values()} == {"ok"}
    assert set(found) == {
        "Settings", "Python", "Data dir", "Disk", "Memory", "Port", "Time zones", "Redis", "Claude CLI", "Login",
    }  # fmt: skip
    assert found["Login"]["text"].startswith("simulated (offline): simulated-claude-haiku")
    assert not (tmp_path / "data").exists()


def test_frugal_memory_is_tried(tmp_path: Path) -> None:
    """Whether the installed command line runs so is a finding of its own."""
    _, found = doctor(tmp_path, "--offline", "--no-request", NIGHTSHIFT_MEMORY="frugal")
    assert found["Memory mode"]["level"] == "ok"
    assert "without their just-in-time compiler" in found["Memory mode"]["text"]


def test_frugal_memory_that_has_no_effect_is_told() -> None:
    """With a command line that is not known to take it."""
    (found,) = claude._memory({"frugal_fault": "it is not known how"})
    assert (found.level, "no effect: it is not known how" in found.text) == ("warn", True)
    assert "NIGHTSHIFT_MEMORY=speed" in found.mend


def test_the_way_api_is_named_and_tried(tmp_path: Path) -> None:
    """No Claude process is looked for, nor its memory asked for; the request goes to the API itself."""
    status, found = doctor(tmp_path, "--offline", NIGHTSHIFT_WAYS="api", NIGHTSHIFT_WORKERS="16")
    assert status == 0
    assert "16 workers take some 1.0 GiB" in found["Memory"]["text"]
    assert "Claude CLI" not in found
    assert found["Way"]["text"].startswith("api:")
    assert found["Login"]["text"].startswith("simulated (offline): simulated-claude-haiku")


@pytest.mark.parametrize(
    ("environment", "word"),
    [({}, "there is none"), ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "nowhere"}, "ANTHROPIC_BASE_URL")],
)
def test_the_way_api_without_what_it_needs(tmp_path: Path, environment: dict[str, str], word: str) -> None:
    """The login's finding says what is missing, or which variable cannot be used."""
    status, found = doctor(tmp_path, "--no-request", NIGHTSHIFT_WAYS="api", **environment)
    assert (status, found["Login"]["level"]) == (1, "fail")
    assert word in found["Login"]["text"]


def test_each_way_of_a_ladder_is_named_and_tried(tmp_path: Path) -> None:
    """By its own login; one whose key is refused is found although the other works."""
    with running_simulator() as simulator:
        simulator.control.add_rule(
            {"error": {"status": 401, "message": "invalid x-api-key"}}, match={"header": {"x-api-key": "sk-refused"}}
        )
        environment = {"CLAUDE_CODE_OAUTH_TOKEN": "token", "ANTHROPIC_API_KEY": "sk-refused"}
        ways = "cli:subscription,batches,api:5usd/day"
        base_url = simulator.base_url
        status, found = doctor(tmp_path, NIGHTSHIFT_WAYS=ways, ANTHROPIC_BASE_URL=base_url, **environment)
    assert status == 1
    subjects = {"Claude CLI (cli)", "Login (cli)", "Way (batches)", "Way (api)", "Login (api)"}
    assert subjects <= set(found)
    levels = {subject: found[subject]["level"] for subject in subjects}
    assert levels == {subject: "fail" if subject == "Login (api)" else "ok" for subject in subjects}


def test_a_ladder_without_a_login(tmp_path: Path) -> None:
    """The finding names the way and the variable."""
    status, found = doctor(tmp_path, "--no-request", NIGHTSHIFT_WAYS="cli:api_key,api", ANTHROPIC_AUTH_TOKEN="t")
    assert (status, found["Login (cli)"]["level"], found["Login (api)"]["level"]) == (1, "fail", "ok")
    assert (
        "NIGHTSHIFT_WAYS names `cli:api_key`, and that login is not there: set ANTHROPIC_API_KEY"
        in (found["Login (cli)"]["text"])
    )


def test_a_misspelled_setting(tmp_path: Path) -> None:
    """It is a warning with the name that was meant, and the rest is looked at all the same."""
    status, found = doctor(tmp_path, "--offline", "--no-request", NIGHTSHIFT_WORKER="3")
    assert status == 0
    assert found["Settings"]["level"] == "warn"
    assert "Did you mean NIGHTSHIFT_WORKERS?" in found["Settings"]["text"]
    assert "Redis" in found


def test_a_login_that_does_not_work(tmp_path: Path) -> None:
    """One real request tells: the CLI starts, its login is refused; the key is not shown."""
    with running_simulator() as simulator:
        refuse(simulator)
        key = "sk-ant-not-valid-any-more"
        status, found = doctor(tmp_path, ANTHROPIC_API_KEY=key, ANTHROPIC_BASE_URL=simulator.base_url)
    assert status == 1
    assert found["Claude CLI"]["level"] == "ok"
    assert (found["Login"]["level"], "ANTHROPIC_API_KEY" in found["Login"]["mend"]) == ("fail", True)
    assert key not in str(found)


def refuse(simulator: RunningSimulator) -> None:
    simulator.control.add_rule({"error": {"status": 401, "message": "invalid x-api-key"}})


def test_what_is_wrong_with_this_machine(tmp_path: Path) -> None:
    """A port that somebody else has, a data dir that is none, no login: each is told, all in one go."""
    (tmp_path / "data").write_text("a file")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, found = doctor(tmp_path, "--no-request", NIGHTSHIFT_PORT=str(taken.getsockname()[1]), TZ="Mars/Olympus")
    assert status == 1
    levels = {name: found[name]["level"] for name in ("Port", "Data dir", "Login", "Time zones", "Claude CLI")}
    assert levels == {"Port": "fail", "Data dir": "fail", "Login": "fail", "Time zones": "warn", "Claude CLI": "ok"}


@pytest.mark.parametrize(
    "setting",
    [
        {"NIGHTSHIFT_BATCH_WINDOW": "22:00-07:00 Mars/Olympus"},
        {"NIGHTSHIFT_HOST": "0.0.0.0"},
        {"NIGHTSHIFT_WORKERS": "many"},
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, setting: dict[str, Any]) -> None:
    """An unknown time zone, an API open to all, a number that is none: said as the start would say it."""
    status, found = doctor(tmp_path, "--offline", **setting)
    assert (status, found["Settings"]["level"]) == (1, "fail")


def redis_of(url: str) -> dict[str, str]:
    """The level of each finding about that Redis."""
    return {one.subject: one.level for one in redis.look(Settings(redis_url=url))}


def test_batches_that_nobody_works_on(own_redis: RedisForTests) -> None:
    """They are a warning while no process does their work; without batches there is nothing to say."""
    with Redis.from_url(own_redis.url) as client:
        assert "Batches" not in redis_of(own_redis.url)
        client.zadd(ACTIVE, {"batch_1": 1})
        assert redis_of(own_redis.url)["Batches"] == "warn"


def test_a_redis_that_evicts_and_forgets(own_redis: RedisForTests) -> None:
    """One that throws requests away when it is full is a failure; one that keeps nothing on the disk a warning."""
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert redis_of(own_redis.url) == {"Redis": "ok", "Redis' memory": "fail", "Redis' disk": "warn", "Clock": "ok"}
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        assert set(redis_of(own_redis.url).values()) == {"ok"}
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 1000)
        assert redis_of(own_redis.url)["Redis' memory"] == "warn"
    own_redis.stop(signal.SIGKILL)
    assert redis_of(own_redis.url) == {"Redis": "fail"}


def test_another_machine_whose_clock_is_off(redis_url: str) -> None:
    """It is warned of here, too, with its name and how far; one that is right is not."""
    with Redis.from_url(redis_url) as client:
        mine = supervisors.of_this_process(Settings(), supervisors.Part.UP)
        for host, skew in (("near", 0.4), ("far", 60.0)):
            row = replace(mine, name=f"{host}:1", host=host, clock_skew_seconds=skew)
            client.hset(f"nightshift:supervisor:{row.name}", mapping=hashes.to_hash(row))
            client.sadd("nightshift:supervisors", row.name)
    (said,) = [one.text for one in redis.look(Settings(redis_url=redis_url)) if one.subject == "Other clocks"]
    assert said == "that of far is 60.0 s ahead of Redis'"


def test_clocks_that_differ() -> None:
    """Beyond a second it is a warning, beyond five a failure; the time that the question took counts for nothing."""
    assert [redis._clock(100.0 + apart, 100.0, 100.5).level for apart in (0, 0.5, 1.4, 3, 6)] == [
        "ok",
        "ok",
        "ok",
        "warn",
        "fail",
    ]
    assert redis._clock(90.0, 100.0, 100.5).level == "fail"


def test_a_server_that_runs_offline_needs_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at as it runs, unless somebody says otherwise."""
    settings = Settings.from_environment(offline=False)
    answer = httpx.Response(200, json={"status": "ok", "offline": True}, headers={"x-request-id": "r"})
    monkeypatch.setattr(httpx, "get", lambda *_, **__: answer)
    assert command._as_it_runs(settings, {"offline": None}).offline
    assert not command._as_it_runs(settings, {"offline": False}).offline
    answer.headers.pop("x-request-id")
    assert not command._as_it_runs(settings, {"offline": None}).offline
