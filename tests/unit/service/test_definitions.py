"""What systemd and launchd are given: right, whatever paths and settings look like, and without a secret."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.settings import Settings
from ops.service import launchd, systemd, variables
from ops.service.plan import Plan
from tests.needs import needs

if TYPE_CHECKING:
    from pathlib import Path

#: what a shell, systemd or a line could take for something else
AWKWARD = "a \"b\" 'c' $HOME `id` \\n %h ; # \\\\ é"
SHOW = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """In places with names that need care."""
    home = tmp_path / "my home $HOME 100%"
    home.mkdir()
    return Plan([sys.executable, "-c", SHOW, AWKWARD], home / "service.env", home / "data", home)


def test_the_environment_file_is_read_by_a_shell(plan: Plan) -> None:
    """As launchd's agent runs it: each variable is exactly what it was, and so is each argument."""
    found = {"NIGHTSHIFT_A": AWKWARD, "NIGHTSHIFT_B": "two\nlines", "NIGHTSHIFT_C": ""}
    plan.environment_file.write_text(variables.text(found))
    agent = plistlib.loads(launchd.agent(plan))
    done = subprocess.run(agent["ProgramArguments"], env={}, capture_output=True, text=True, check=True)
    environ, arguments = json.loads(done.stdout)
    assert {name: environ[name] for name in found} == found
    assert arguments == [AWKWARD]
    assert variables.names(variables.text(found)) == list(found)


def test_the_agent(plan: Plan) -> None:
    """It is not throttled, starts again after a crash only, and has no setting."""
    agent = plistlib.loads(launchd.agent(plan))
    assert (agent["ProcessType"], agent["KeepAlive"], agent["Umask"]) == ("Interactive", {"SuccessfulExit": False}, 63)
    assert agent["StandardOutPath"] == str(plan.data_dir / "service.log")
    assert "EnvironmentVariables" not in agent


def test_the_unit(plan: Plan, tmp_path: Path) -> None:
    """`systemd-analyze` has nothing to complain of."""
    analyze = needs("systemd-analyze")
    path = tmp_path / systemd.NAME
    path.write_text(systemd.unit(plan))
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [analyze, "verify", "--user", "--man=no", str(path)], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if systemd.NAME in line]) == (0, [])


def test_what_the_unit_runs(plan: Plan) -> None:
    """Quotes, dollars and specifiers are themselves; the file's path is not quoted, for systemd takes it verbatim."""
    lines = systemd.unit(plan).splitlines()
    (command,) = (line for line in lines if line.startswith("ExecStart="))
    assert command.endswith(""" "a \\"b\\" 'c' $$HOME `id` \\\\n %%h ; # \\\\\\\\ é\"""")
    assert f"EnvironmentFile={plan.home}/service.env".replace("%", "%%") in lines


def test_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, options, logins and what telemetry needs; paths that hold elsewhere; nothing else of a shell."""
    monkeypatch.chdir(tmp_path)
    environ = {
        "NIGHTSHIFT_WORKERS": "3",
        "NIGHTSHIFT_PORT": "1",
        "NIGHTSHIFT_API_KEYS": "",
        "NIGHTSHIFT_URL": "http://elsewhere",
        "NIGHTSHIFT_SUPERVISOR_PID": "1",
        "NIGHTSHIFT_DATA_DIR": "here",
        "ANTHROPIC_API_KEY": "sk-1",
        "AWS_REGION": "eu",
        "CLAUDE_CONFIG_DIR": "/c",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
        "REDIS_URL": "redis://h",
        "PATH": "/bin",
        "SSH_AUTH_SOCK": "/s",
        "GITHUB_TOKEN": "no",
    }
    given = {"port": 9000, "offline": True, "host": None}
    found = variables.kept(environ, Settings.from_environment(environ, port=9000, offline=True), given)
    assert found == {
        "ANTHROPIC_API_KEY": "sk-1",
        "AWS_REGION": "eu",
        "CLAUDE_CONFIG_DIR": "/c",
        "NIGHTSHIFT_DATA_DIR": str(tmp_path / "here"),
        "NIGHTSHIFT_OFFLINE": "1",
        "NIGHTSHIFT_PORT": "9000",
        "NIGHTSHIFT_WORKERS": "3",
        "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
        "PATH": "/bin",
        "REDIS_URL": "redis://h",
    }
