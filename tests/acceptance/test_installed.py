"""Nightshift and its client for Python as wheels, away from the clone: what pipx, uv and pip install."""

from __future__ import annotations

import json
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

CLIENT = wheels.ROOT / "nightshift_client"
#: what the wheel is built of, as in the Dockerfile
PARTS = ("pyproject.toml", "README.md", "LICENSE", "app", "api", "workers", "ops", "simulator")
#: with the wheel of the client alone: two tables, by both clients
ASKED = """
import asyncio, csv, json, sys
from nightshift_client import AsyncNightshift, Nightshift, NotFoundError

with open("reviews.csv", "w", newline="") as file:
    csv.writer(file).writerows([["id", "text"], ["007", "Arrived broken."], ["8", "Fine."]])
with Nightshift() as night:
    batch = night.submit("reviews.csv", "Kind? {text}", id_column="id", model="haiku", try_first=1, max_cost=5)
    held = night.watch(batch)
    forecast = night.forecast(batch)
    night.continue_(batch)
    ended = night.watch(batch)
    rows = night.results(batch.id)
    rude = night.submit([{"text": "polite"}, {"text": "rude"}], "{text}", model="haiku")
    failed = night.results(night.watch(rude))
    retried = night.results(night.watch(night.retry(rude)))
    try:
        night.status("batch_none")
    except NotFoundError as error:
        refused = error.code, error.param


async def ask():
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    async with AsyncNightshift() as night:
        table = [{"city": name} for name in ("Rome", "", "Milan")]
        return await night.ask_each(table, "Say: {city}", schema=schema, model="haiku")


cities = asyncio.run(ask())
print(json.dumps([batch.id, held.waiting_for, held.done, forecast["requests"], ended.status, rows, refused, cities, failed, retried]))
"""


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


def test_the_client(stack: Stack, installed: Path, tmp_path: Path) -> None:
    """Its wheel works with httpx alone; the command of the other wheel knows its batches."""
    parts = ("pyproject.toml", "README.md", "LICENSE", "py.typed", *(path.name for path in CLIENT.glob("*.py")))
    wheel = wheels.build(CLIENT, parts, tmp_path / "wheel")
    programs = wheels.environment(wheel, tmp_path / "venv", only=["httpx"])
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "NIGHTSHIFT_URL": stack.url}
    stack.simulator.add_rule({"error": {"status": 400, "message": "too rude"}}, match={"contains": "rude"}, times=1)
    done = subprocess.run(
        [programs / "python", "-c", ASKED], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    batch_id, waiting_for, tried, left, status, rows, refused, cities, failed, retried = json.loads(done.stdout)
    assert (waiting_for, tried, left, status) == ("tried", 1, 1, "completed")
    assert [(row["id"], row["text"], row["error"]) for row in rows] == [
        ("007", "Arrived broken.", None),
        ("8", "Fine.", None),
    ]
    assert all(row["answer"] == f"Simulated answer to: Kind? {row['text']}" for row in rows)
    assert refused[1] == "batch_id"
    assert [row["city"] for row in cities] == ["Rome", "", "Milan"]
    assert set(cities[0]["answer"]) == {"name"} and cities[1]["answer"] is None
    assert [row["answer"] for row in failed] == ["Simulated answer to: polite", None]
    assert "too rude" in failed[1]["error"]
    assert [row["answer"] for row in retried] == ["Simulated answer to: polite", "Simulated answer to: rude"]
    csv_of_command = sh(f"nightshift batch results {batch_id} --url {stack.url}", installed, tmp_path)
    assert "Simulated answer to: Kind? Fine." in csv_of_command and "007" in csv_of_command
    submitted = sh(
        f"nightshift batch submit reviews.csv --template Q:{{text}} --model haiku --watch --url {stack.url}",
        installed,
        tmp_path,
    )
    read = f"from nightshift_client import Nightshift as N; print(N().results('{submitted.split()[0]}')[0])"
    done = subprocess.run([programs / "python", "-c", read], env=environ, capture_output=True, text=True, check=True)
    assert "'id': '007'" in done.stdout and "Simulated answer to: Q:Arrived broken." in done.stdout
    assert list((programs.parent / "lib").glob("python*/site-packages/nightshift_client/py.typed"))
