"""A Claude process that hangs, floods or swells: each fault ends with its own failure, and the next request is served.

The child is a fake (`fake_cli`), since the real CLI does none of this when asked to. Deadlines of the requests are far
away: what went unnoticed would end as `deadline`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.integration.claude import fake_cli
from tests.integration.claude.conftest import Make, wait_for
from workers.claude import ClaudeInvoker, FailureKind, Profile, TurnFailed, cli, process

if TYPE_CHECKING:
    from collections.abc import Callable

FAR_SECONDS = 60.0


@pytest.fixture
def fake(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ClaudeInvoker]:
    """Make invokers of the fake, with limits that are quick to reach; `fault` is what it does at its start."""
    program = tmp_path / "claude"
    program.write_text(f"#!{sys.executable} -IS\n{Path(fake_cli.__file__).read_text()}")
    program.chmod(0o700)
    monkeypatch.setattr(cli, "bundled_cli", lambda: program)
    monkeypatch.setattr(cli, "MAX_LINE_BYTES", 1024 * 1024)
    monkeypatch.setattr(process, "MAX_TURN_BYTES", 4 * 1024 * 1024)
    monkeypatch.setattr(process, "CONNECT_SECONDS", 1.5)

    def build(fault: str = "", **overrides: object) -> ClaudeInvoker:
        if fault:
            (tmp_path / "fault").write_text(fault)
        return make(**overrides)

    return build


def failure_of(invoker: ClaudeInvoker, text: str, seconds: float = FAR_SECONDS) -> TurnFailed:
    """The failure that asking ends with."""
    with pytest.raises(TurnFailed) as caught:
        invoker.ask(text, timeout_seconds=seconds)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("silent", FailureKind.STALLED, ""),
        ("deaf", FailureKind.STALLED, "not_drained"),
        ("flood", FailureKind.GARBLED, "garbled"),
        ("flood_stderr", FailureKind.GARBLED, "garbled"),
        ("chatter", FailureKind.GARBLED, "garbled"),
        ("ping", FailureKind.GARBLED, "garbled"),
        ("long_line", FailureKind.GARBLED, "garbled"),
        ("no_json", FailureKind.GARBLED, "garbled"),
        ("mute", FailureKind.DIED, "died"),
        ("orphan", FailureKind.DIED, "died"),
        ("ask_and_leave", FailureKind.DIED, "died"),
        ("swell", FailureKind.MEMORY, "rss_hard"),
    ],
)
def test_each_fault_in_a_turn_has_its_end(
    fake: Callable[..., ClaudeInvoker], fault: str, kind: FailureKind, reason: str
) -> None:
    """The turn fails as what it is, the process is replaced where it can't be trusted, and another request is answered."""
    stall = 0.5 if kind is FailureKind.STALLED else FAR_SECONDS
    invoker = fake(stall_seconds=stall, max_rss_mb=100)
    assert invoker.ask("hello").text == "fine"
    before = invoker.status().pid
    assert before
    failure = failure_of(invoker, fault)
    assert failure.kind is kind
    assert failure.message
    assert invoker.ask("hello").text == "fine"
    assert invoker.status().restarts == ({reason: 1} if reason else {})
    if reason:
        wait_for(lambda: not psutil.pid_exists(before))


def test_a_deadline_and_an_interrupt_end_a_turn_that_obeys_nothing(fake: Callable[..., ClaudeInvoker]) -> None:
    """By its death, with the failure that it was ended for."""
    invoker = fake()
    assert failure_of(invoker, "deaf", seconds=0.3).kind is FailureKind.DEADLINE
    assert invoker.ask("hello").text == "fine"
    assert invoker.status().restarts == {"not_drained": 1}


@pytest.mark.parametrize("fault", ["deaf", "flood", "mute", "orphan"])
def test_a_start_that_fails_is_said_and_tried_again(
    fake: Callable[..., ClaudeInvoker], tmp_path: Path, fault: str
) -> None:
    """The request fails as nobody's fault; once the CLI behaves, the next one is answered."""
    invoker = fake(fault)
    failure = failure_of(invoker, "hello")
    assert failure.kind is FailureKind.UNAVAILABLE
    assert failure.message.startswith("Claude could not be started")
    (tmp_path / "fault").unlink()
    assert invoker.wait_until_idle(FAR_SECONDS)
    assert invoker.ask("hello").text == "fine"


def test_a_process_that_will_not_leave_is_killed(fake: Callable[..., ClaudeInvoker]) -> None:
    """It ignores SIGTERM and the end of its input; `close` waits for it all the same."""
    invoker = fake()
    invoker.ask("ignore_the_end")
    pid = invoker.status().pid
    assert pid
    invoker.close()
    assert not psutil.pid_exists(pid)


def test_a_leak_is_seen_logged_and_recycled(
    fake: Callable[..., ClaudeInvoker], caplog: pytest.LogCaptureFixture
) -> None:
    """After a turn that left too much behind another process serves; no request notices."""
    caplog.set_level("INFO")
    invoker = fake(max_rss_mb=200)
    for _ in range(4):
        assert invoker.ask("leak").text == "fine"
    wait_for(lambda: invoker.status().restarts == {"rss": 1})
    assert invoker.ask("hello").text == "fine"
    (line,) = [r.message for r in caplog.records if r.message.startswith("[RESTART] reason=rss ")]
    words = dict(word.split("=") for word in line.split()[1:])
    assert float(words["rss_before_mb"]) > 180
    assert float(words["delta_mb"]) < -100
    wait_for(lambda: invoker.status().rss_mb < 60)


def test_swelling_while_idle_is_ended_at_once(fake: Callable[..., ClaudeInvoker]) -> None:
    """Over the hard limit a process does not live on until its replacement is there."""
    invoker = fake(max_rss_mb=40, hard_rss_mb=50)
    invoker.ask("leak")
    wait_for(lambda: invoker.status().restarts == {"rss_hard": 1})
    assert invoker.ask("hello").text == "fine"


@pytest.mark.parametrize("fault", ["deaf", "ask_and_leave"])
def test_closing_while_a_process_starts_is_quiet(
    fake: Callable[..., ClaudeInvoker], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No task's failure is left to nobody."""
    invoker = fake(fault)
    invoker.start()
    wait_for(lambda: any(one._dir and one._dir.pid() for one in invoker._keeper._pool.alive()))
    invoker.close()
    gc.collect()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []


def test_questions_of_a_process_that_is_gone_are_dropped(
    fake: Callable[..., ClaudeInvoker], caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's answers to them fail in tasks that nobody waits for."""
    invoker = fake()
    assert failure_of(invoker, "ask_and_leave").kind is FailureKind.DIED
    invoker.close()
    gc.collect()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []


def test_each_profile_has_its_warm_process(fake: Callable[..., ClaudeInvoker]) -> None:
    """Requests that alternate between two go to two processes; a third takes the place of the one used least recently."""
    invoker = fake(warm_processes=2)
    pids: dict[str, int] = {}
    for model in ("sonnet", "b", "sonnet", "b", "sonnet"):
        invoker.ask("hello", Profile(model=model))
        pid = invoker.status().pid
        assert pid
        assert pids.setdefault(model, pid) == pid
    assert invoker.status().restarts == {}
    both = invoker.status().rss_mb
    assert both > 1.5 * psutil.Process(pids["sonnet"]).memory_info().rss / 2**20
    invoker.ask("hello", Profile(model="c"))
    assert invoker.status().restarts == {"profile": 1}
    invoker.ask("hello", Profile(model="sonnet"))
    assert invoker.status().pid == pids["sonnet"]
    wait_for(lambda: not psutil.pid_exists(pids["b"]))


def test_all_warm_processes_are_watched(fake: Callable[..., ClaudeInvoker]) -> None:
    """One that dies, leaks or idles is noticed although another profile is in use."""
    invoker = fake(max_rss_mb=100, max_idle_seconds=0)
    invoker.ask("hello", Profile(model="sonnet"))
    first = invoker.status().pid
    assert first
    invoker.ask("hello", Profile(model="b"))
    psutil.Process(first).kill()
    wait_for(lambda: invoker.status().restarts == {"died": 1})
    invoker.ask("leak", Profile(model="sonnet"))
    invoker.ask("leak", Profile(model="sonnet"))
    invoker.ask("hello", Profile(model="b"))
    wait_for(lambda: invoker.status().restarts == {"died": 1, "rss": 1})


def test_an_idle_process_of_another_profile_is_ended(fake: Callable[..., ClaudeInvoker]) -> None:
    """Only the profile that was asked for last is kept ready."""
    invoker = fake(max_idle_seconds=0.2, warm_processes=2)
    invoker.ask("hello", Profile(model="sonnet"))
    first = invoker.status().pid
    assert first
    invoker.ask("hello", Profile(model="b"))
    wait_for(lambda: invoker.status().restarts.get("idle") == 2 and not psutil.pid_exists(first))
    wait_for(lambda: len(invoker._keeper._pool.alive()) == 1 and invoker.status().state == "idle")


def test_another_login_ends_all_processes_of_the_last_one(fake: Callable[..., ClaudeInvoker], tmp_path: Path) -> None:
    """Not only that of the profile that is asked for."""
    invoker = fake(login={}, claude_home=tmp_path)
    invoker.ask("hello", Profile(model="b"))
    invoker.ask("hello")
    (tmp_path / ".credentials.json").write_text("{}")
    assert invoker.ask("hello").text == "fine"
    assert invoker.status().restarts == {"login": 2}
    assert invoker.status().login == "claude_home"


def test_process_isolation_keeps_a_fresh_process_for_each_profile(fake: Callable[..., ClaudeInvoker]) -> None:
    """No process has two requests, whatever they alternate between."""
    invoker = fake(isolation="process")
    for model in ("sonnet", "b", "sonnet", "b"):
        invoker.ask("hello", Profile(model=model))
    # The used ones have ended, and each has another in its place.
    wait_for(lambda: [one.turns for one in invoker._keeper._pool.alive()] == [0, 0])
