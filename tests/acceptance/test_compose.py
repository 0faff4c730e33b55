"""The containers' description: valid, complete, closed without keys, and free of real logins when offline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from app.environment import CLAUDE_ENVIRONMENT
from app.settings import Settings

ROOT = Path(__file__).parents[2]
#: what the image or the compose files say themselves, or only `nightshift up` has a use for
FIXED = {
    "NIGHTSHIFT_DATA_DIR",
    "NIGHTSHIFT_HOST",
    "NIGHTSHIFT_KEEP_AWAKE",
    "NIGHTSHIFT_OFFLINE",
    "NIGHTSHIFT_OFFLINE_LOGIN",
    "NIGHTSHIFT_PORT",
    "NIGHTSHIFT_SUPERVISOR_PID",
}
#: of CLAUDE_ENVIRONMENT, what is the image's own, or another spelling of what is passed on
OF_THE_IMAGE = {"LANG", "LC_ALL", "PATH", "TZ", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"}
OF_THE_IMAGE |= {"http_proxy", "https_proxy", "no_proxy"}
REQUIRED = {"NIGHTSHIFT_API_KEYS": "a-key", "NIGHTSHIFT_WEBHOOK_SECRET": "whsec_c2VjcmV0"}

pytestmark = pytest.mark.skipif(
    shutil.which("docker-compose") is None and "CI" not in os.environ, reason="docker-compose is not installed"
)


def config(*options: str, environ: dict[str, str]) -> str:
    """The whole description as docker-compose reads it, in YAML, with `environ` as the user's shell."""
    done = subprocess.run(
        ["docker-compose", *options, "config"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    return done.stdout


def services(text: str) -> dict[str, str]:
    """Each service's part of it."""
    section = re.split(r"^services:\n", text, flags=re.MULTILINE)[1]
    section = re.split(r"^\S", section, flags=re.MULTILINE)[0]
    parts = re.split(r"^ {2}(\w+):\n", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_files_are_valid_and_refuse_to_start_without_keys() -> None:
    """`scripts/compose-check` finds nothing to complain of."""
    done = subprocess.run(
        [ROOT / "scripts" / "compose-check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_reaches_the_services() -> None:
    """A setting that the user makes in the shell is one in each container; a new field must be added to compose.yaml."""
    names = {f"NIGHTSHIFT_{f.name.upper()}" for f in fields(Settings) if "env" not in f.metadata} - FIXED
    marked = {name: f"marked-{name.lower()}" for name in names}
    found = services(config(environ=marked))
    assert set(found) == {"redis", "api", "worker", "callbacks"}
    for service in ("api", "worker", "callbacks"):
        assert {name for name in names if f"{name}: {marked[name]}" not in found[service]} == set(), service
    assert "NIGHTSHIFT_" not in found["redis"]


def test_the_login_reaches_the_workers_and_nobody_else() -> None:
    """What a Claude process may see is passed to the worker; the other containers have no use for it."""
    names = {name for name in CLAUDE_ENVIRONMENT if not name.endswith("*")} - OF_THE_IMAGE
    marked = {name: f"marked-{name.lower()}" for name in names}
    found = services(config(environ=REQUIRED | marked))
    assert {name for name in names if f"{name}: {marked[name]}" not in found["worker"]} == set()
    assert [service for service, text in found.items() if "marked-" in text] == ["worker"]


def test_offline_no_real_login_gets_into_a_container() -> None:
    """With a login, a provider and a proxy in the shell, the offline workers get the simulator's address and its key."""
    real = {
        name: "a-real-one"
        for name in CLAUDE_ENVIRONMENT
        if re.search("KEY|TOKEN|CREDENTIALS|PROXY|USE|ANTHROPIC_BASE_URL", name)
    } | dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "a-real-one")
    found = services(config("--env-file", "deploy/offline.env", environ=real))
    assert "a-real-one" not in "".join(found.values())
    assert "ANTHROPIC_BASE_URL: http://simulator:8300" in found["worker"]
    assert set(found) == {"redis", "api", "worker", "callbacks", "simulator"}


def test_workers_alone_get_all_that_their_file_says(tmp_path: Path) -> None:
    """On a machine of their own: no Redis, no API and no keys; else they are as those of compose.yaml."""
    shutil.copy(ROOT / "deploy" / "worker.yaml", tmp_path)
    given = {"REDIS_URL": "rediss://n:p@redis.example.com:6379/0", "ANTHROPIC_API_KEY": "k", "NIGHTSHIFT_WORKERS": "4"}
    (tmp_path / "worker.env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    file = str(tmp_path / "worker.yaml")
    found = yaml.safe_load(config("-f", file, environ={"MACHINE": "night-1"}))["services"]
    assert set(found) == {"worker"}
    assert (found["worker"]["environment"], found["worker"]["hostname"]) == (given, "night-1")
    beside = yaml.safe_load(config(environ=REQUIRED))["services"]["worker"]
    for name in ("init", "stop_grace_period", "read_only", "cap_drop", "security_opt", "tmpfs", "healthcheck"):
        assert found["worker"][name] == beside[name], name
