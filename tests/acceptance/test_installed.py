"""Nightshift as a wheel, away from the clone: what pipx and uv install."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from tests import wheels
from tests.acceptance.stack import SHARED_SETTINGS, Stack, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: what the wheel is built of, as in the Dockerfile
PARTS = ("pyproject.toml", "README.md", "LICENSE", "app", "api", "workers", "ops", "simulator")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has Nightshift by its wheel."""
    directory = tmp_path_factory.mktemp("server")
    wheel = wheels.build(wheels.ROOT, PARTS, directory / "wheel")
    return wheels.environment(wheel, directory / "venv")


@pytest.fixture(scope="module")
def shared_stack(installed: Path) -> Iterator[Stack]:
    """Of the installed command, in an empty directory that is its home, too."""
    yield from running(Stack(settings=SHARED_SETTINGS, program=installed / "nightshift"))


def sh(command: str, installed: Path, cwd: Path) -> str:
    """What it prints, where nothing but the environment is known."""
    environ = {"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(cwd)}
    done = subprocess.run(command.split(), cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


def test_the_command(installed: Path, tmp_path: Path) -> None:
    """It is there, knows its version, and is not this tree's."""
    assert sh("nightshift --version", installed, tmp_path).strip() == version("claude-nightshift")
    assert "Start everything in the foreground" in sh("nightshift --help", installed, tmp_path)
    where = sh("python -c print(__import__('ops').__file__,__import__('simulator').__file__)", installed, tmp_path)
    assert all(path.startswith(str(installed.parent)) for path in where.split())
    assert list(tmp_path.iterdir()) == []


def test_it_runs(stack: Stack) -> None:
    """All of its processes are the wheel's, and they answer, with page and schema, too."""
    assert stack.ask("Say hello.").startswith("Simulated answer")
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    assert '"name"' in stack.ask("Which city?", response_format=wanted)
    page = str(stack.http("GET", "/", headers={"Accept": "text/html"}).body)
    linked = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg)[^"]*)"', page)
    assert linked and {stack.http("GET", one).status for one in linked} == {200}
    assert str(wheels.ROOT) not in stack.log.read_text()
