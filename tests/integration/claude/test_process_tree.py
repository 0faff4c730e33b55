"""What a Claude process sees of the host, and that nothing of it outlives its worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from app.settings import Settings
from chaos.until import wait_until
from tests.integration.claude.conftest import SUBSCRIPTION, Make, bodies, processes_in
from workers.claude import ClaudeInvoker, Profile, end_leftovers

if TYPE_CHECKING:
    import pytest

    from simulator.process import RunningSimulator

ROOT = Path(__file__).parents[3]


def test_environment_is_an_allow_list(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other variable of the host gets in, not even one that the SDK or the CLI would read."""
    for name in ("PLANTED_SECRET", "CLAUDE_CODE_EXTRA_BODY", "ANTHROPIC_CUSTOM_HEADERS", "REDIS_URL", "NIGHTSHIFT_X"):
        monkeypatch.setenv(name, '{"metadata": {"planted": "PLANTED"}}')
    invoker = make()
    invoker.ask("hi")
    pid = invoker.status().pid
    environ = psutil.Process(pid).environ()
    assert "PLANTED" not in str(environ)
    assert set(environ) - {"PWD"} == {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_AGENT_SDK_VERSION",
        "CLAUDE_CODE_ATTRIBUTION_HEADER",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
        "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",
        "CLAUDE_CODE_DISABLE_THINKING",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_SDK_READS_SESSION_STATE",
        "CLAUDE_CONFIG_DIR",
        "DISABLE_AUTOUPDATER",
        "DISABLE_COMPACT",
        "DISABLE_PROMPT_CACHING",
        "HOME",
        "PATH",
        "TMPDIR",
    }
    for name in ("HOME", "CLAUDE_CONFIG_DIR", "TMPDIR"):
        assert Path(environ[name]).parent.stat().st_mode & 0o077 == 0


def test_arguments_show_nothing_of_a_request(make: Make) -> None:
    """`ps` shows neither prompt nor system text nor schema."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "description": "MARK"}}}
    functions = [{"name": "MARK", "description": "MARK", "input_schema": {"type": "object"}}]
    invoker = make()
    for profile in (
        Profile(system="MARK", schema=json.dumps(schema)),
        Profile(system="MARK " * 50_000, tools=json.dumps(functions)),
    ):
        invoker.ask("MARK", profile)
        pid = invoker.status().pid
        assert pid
        assert "MARK" not in " ".join(psutil.Process(pid).cmdline())


def test_nothing_of_the_hosts_claude_gets_in(
    make: Make, simulator: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, memory, hooks and CLAUDE.md of the user stay out, with a login that is his as well."""
    home = tmp_path / "claude home"
    home.mkdir()
    (home / "CLAUDE.md").write_text("PLANTED memory")
    (home / "settings.json").write_text(json.dumps({"env": {"ANTHROPIC_CUSTOM_HEADERS": "x-planted: PLANTED"}}))
    token = {"accessToken": "sk-ant-oat01-x", "refreshToken": "r", "expiresAt": 4e12, "scopes": ["user:inference"]}
    (home / ".credentials.json").write_text(json.dumps({"claudeAiOauth": token}))
    invoker = make({}, claude_home=home)
    invoker.ask("hello there")
    assert invoker.status().login == "claude_home"
    (request,) = simulator.control.requests()
    assert "PLANTED" not in str(request)
    assert request["headers"]["authorization"] == "present"
    assert json.loads((home / ".credentials.json").read_text())["claudeAiOauth"]["refreshToken"] == "r"


def test_a_subscription_adds_little_and_leaks_no_path_of_ours(make: Make, simulator: RunningSimulator) -> None:
    """With a subscription the CLI puts a block of its own before the message; the message itself is as sent."""
    invoker = make(SUBSCRIPTION)
    for model in ("claude-sonnet-4-5", "sonnet"):
        for text in ("first secret", "/clear", "second"):
            invoker.ask(text, Profile(model=model))
            user, *others = bodies(simulator)[-1]["messages"]
            assert user["content"][-1]["text"] == text
            added = [block["text"] for block in user["content"][:-1]] + [other["content"] for other in others]
            # Older models get it before the message, newer ones as a message of the role "system" after it.
            assert {other["role"] for other in others} <= {"system"}
            assert len("".join(added)) < 1600
            assert "secret" not in "".join(added)


def test_nothing_survives_a_killed_worker(simulator: RunningSimulator, tmp_path: Path) -> None:
    """A kill -9 in mid-turn leaves no process; the next start removes the files."""
    simulator.control.add_rule({"text": "long " * 10, "hang_after_deltas": 2, "hang_seconds": 30})
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ANTHROPIC_BASE_URL": simulator.base_url,
        "ANTHROPIC_API_KEY": "k",
        "NIGHTSHIFT_DATA_DIR": str(tmp_path),
    }
    program = (
        "from workers.claude import ClaudeInvoker\n"
        "with ClaudeInvoker.from_environment() as claude:\n"
        "    claude.ask('hello', on_event=lambda _: print('begun', flush=True))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    assert worker.stdout.readline() == "begun\n"
    assert processes_in(tmp_path)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: not processes_in(tmp_path))
    work_dir = tmp_path / "claude" / "claude"
    assert list(work_dir.glob("process-*"))
    end_leftovers(work_dir)
    assert list(work_dir.glob("process-*")) == []


def test_leftovers_are_ended_where_the_kernel_does_not(tmp_path: Path) -> None:
    """A process that a dead owner left is killed; one with the same pid but another start is not."""
    ours = tmp_path / "process-a"
    ours.mkdir()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    started = psutil.Process(child.pid).create_time()
    (ours / "owner.json").write_text(json.dumps({"pid": 2**22 + 5, "started": 1.0}))
    (ours / "pid.json").write_text(json.dumps({"pid": child.pid, "started": started - 1000}))
    assert end_leftovers(tmp_path) == []
    assert child.poll() is None
    ours.mkdir()
    (ours / "pid.json").write_text(json.dumps({"pid": child.pid, "started": started + 0.1}))
    assert end_leftovers(tmp_path) == [child.pid]
    assert child.wait(5) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_alone_in_a_few_lines(simulator: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script needs no queue."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path))
    with ClaudeInvoker.from_environment() as claude:
        assert claude.ask("Say hello").text == "Simulated answer to: Say hello"
    assert isinstance(Settings.from_environment().data_dir, Path)
    assert processes_in(tmp_path) == []
