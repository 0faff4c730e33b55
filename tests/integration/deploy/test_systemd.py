"""The unit for a server: that systemd reads it, how much of the machine it shuts off, and that it fits what it starts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from app import environment, settings
from ops.supervisor.supervisor import STOP_SECONDS
from tests.needs import needs

FOLDER = Path(__file__).parents[3] / "deploy" / "systemd"
UNIT = FOLDER / "nightshift.service"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that this machine has."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/nightshift/bin/nightshift", "/bin/true"))
    return path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [needs("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_understands_each_line(installed: Path) -> None:
    """Without a word about any of them."""
    done = analyze("verify", "--man=no", installed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_little_of_the_machine_is_exposed(installed: Path) -> None:
    """By systemd's own measure, 0 to 10: what is left is the network, and what Claude's command line needs."""
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=15", installed)
    assert done.returncode == 0, done.stdout


def test_a_stop_has_the_time_that_it_takes() -> None:
    """Also on a busy machine."""
    (seconds,) = re.findall(r"^TimeoutStopSec=([0-9]+)$", UNIT.read_text(), re.MULTILINE)
    assert int(seconds) >= 3 * STOP_SECONDS


def test_each_setting_that_is_named_is_one() -> None:
    """In the unit and in the file for the settings."""
    lines = UNIT.read_text() + (FOLDER / "nightshift.env").read_text()
    named = set(re.findall(r"^#?(?:Environment=)?([A-Z_]{5,})=", lines, re.MULTILINE))
    assert {"NIGHTSHIFT_DATA_DIR", "ANTHROPIC_API_KEY"} <= named
    assert named <= settings.variables() | set(environment.CLAUDE_ENVIRONMENT) | {"PYTHONDONTWRITEBYTECODE"}
