"""Claude's real CLI against a simulated API; every test ends with no process of its own left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from app.settings import Settings
from tests.integration.claude import fake_cli
from workers.claude import ClaudeInvoker, Profile, cli, running_cli

if TYPE_CHECKING:
    from simulator.process import RunningSimulator

Make = Callable[..., ClaudeInvoker]

KEY = {"ANTHROPIC_API_KEY": "key-for-tests"}
SUBSCRIPTION = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-for-tests"}


def settings_for(base_url: str, data_dir: Path, login: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings whose Claude talks to the simulator."""
    environ = {"PATH": "/usr/bin:/bin", "ANTHROPIC_BASE_URL": base_url, **(KEY if login is None else login)}
    overrides.setdefault("claude_home", data_dir / "nobody")
    return Settings.from_environment(environ, data_dir=data_dir, **overrides)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Live processes that work below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def make(simulator: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Make invokers; afterwards they are closed, and nothing of them may be left: no process, no file."""
    # A space, because people's home directories have them.
    folder = tmp_path_factory.mktemp("data dir")
    made: list[ClaudeInvoker] = []

    def build(login: dict[str, str] | None = None, profile: Profile | None = None, **overrides: Any) -> ClaudeInvoker:
        settings = settings_for(simulator.base_url, folder, login, **overrides)
        invoker = ClaudeInvoker(settings, name=f"claude-{len(made)}", profile=profile)
        made.append(invoker)
        return invoker

    yield build
    for invoker in made:
        invoker.close()
    assert processes_in(folder) == []
    assert list(folder.rglob("process-*")) == []


@pytest.fixture
def fake(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """Make invokers of the fake, with limits that are quick to reach; `fault` is what it does at its start."""
    program = tmp_path / "claude"
    program.write_text(f"#!{sys.executable} -IS\n{Path(fake_cli.__file__).read_text()}")
    program.chmod(0o700)
    monkeypatch.setattr(cli, "bundled_cli", lambda: program)
    monkeypatch.setattr(cli, "MAX_LINE_BYTES", 1024 * 1024)
    monkeypatch.setattr(running_cli, "MAX_TURN_BYTES", 4 * 1024 * 1024)

    def build(fault: str = "", **overrides: object) -> ClaudeInvoker:
        if fault:
            (tmp_path / "fault").write_text(fault)
        # A start that is well is given its time, on a busy machine, too.
        monkeypatch.setattr(running_cli, "CONNECT_SECONDS", 1.5 if fault else 6.0)
        return make(**overrides)

    return build


@pytest.fixture(scope="module")
def shared(
    _simulator_for_session: RunningSimulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClaudeInvoker]:
    """One invoker for the tests of a module that leave it as they found it."""
    folder = tmp_path_factory.mktemp("shared data")
    with ClaudeInvoker(settings_for(_simulator_for_session.base_url, folder, stall_seconds=20.0)) as invoker:
        yield invoker
    assert processes_in(folder) == []


def bodies(simulator: RunningSimulator) -> list[dict[str, Any]]:
    """What the model was asked, in order."""
    return [r["body"] for r in simulator.control.requests() if r["path"].startswith("/v1/messages")]
