"""A Claude process that hangs, floods or swells: each fault ends with its own failure, and the next request is served.

The child is a fake (`fake_cli`), since the real CLI does none of this when asked to. Deadlines of the requests are far
away: what went unnoticed would end as `deadline`.
"""

from __future__ import annotations

import gc
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from chaos.until import wait_until
from workers.claude import ClaudeInvoker, FailureKind, TurnFailed, cli, running_cli
from workers.claude.private_dir import kill_group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.claude.conftest import Make

FAR_SECONDS = 60.0


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
def test_each_fault_in_a_turn_has_its_end(fake: Make, fault: str, kind: FailureKind, reason: str) -> None:
    """The turn fails as what it is, the process is replaced where it can't be trusted, and another request is answered."""
    stall = 3.0 if kind is FailureKind.STALLED else FAR_SECONDS
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
        wait_until(lambda: not psutil.pid_exists(before))


def test_a_request_that_can_not_be_sent_is_quoted_in_no_log(
    fake: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of what the SDK raises the log has the type alone; its words may be the client's."""
    invoker = fake()
    assert invoker.ask("hello").text == "fine"

    async def refuse(_: object, content: str, *__: object) -> None:
        raise ValueError(f"can't write {content}")

    monkeypatch.setattr(cli.ClaudeClient, "send", refuse)
    assert failure_of(invoker, "a client's words").kind is FailureKind.DIED
    assert "did not take a request: ValueError" in caplog.text
    assert "a client's words" not in caplog.text


def test_a_wipe_that_fails_is_quoted_in_no_log(
    fake: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The same of what it raises between two requests."""
    caplog.set_level("INFO")
    invoker = fake()

    async def refuse(*_: object) -> None:
        raise ValueError("a client's words")

    monkeypatch.setattr(cli.ClaudeClient, "rewind", refuse)
    assert invoker.ask("hello").text == "fine"
    assert invoker.ask("hello").text == "fine"
    assert "did not rewind: ValueError" in caplog.text
    assert "a client's words" not in caplog.text


@pytest.mark.parametrize("kind", [FailureKind.DEADLINE, FailureKind.INTERRUPTED])
def test_a_turn_that_obeys_nothing_is_ended_by_its_process_death(fake: Make, kind: FailureKind) -> None:
    """With the failure that it was ended for."""
    invoker = fake()
    invoker.ask("hello")
    invoker.wait_until_idle(FAR_SECONDS)
    if kind is FailureKind.INTERRUPTED:
        threading.Timer(1.0, invoker.interrupt).start()
    seconds = 2.0 if kind is FailureKind.DEADLINE else FAR_SECONDS
    assert failure_of(invoker, "deaf", seconds).kind is kind
    assert invoker.ask("hello").text == "fine"
    assert invoker.status().restarts == {"not_drained": 1}


@pytest.mark.parametrize("fault", ["deaf", "flood", "mute", "orphan"])
def test_a_start_that_fails_is_said_and_tried_again(fake: Make, tmp_path: Path, fault: str) -> None:
    """The request fails as nobody's fault; once the CLI behaves, the next one is answered."""
    invoker = fake(fault)
    failure = failure_of(invoker, "hello")
    assert failure.kind is FailureKind.UNAVAILABLE
    assert failure.message.startswith("Claude could not be started")
    (tmp_path / "fault").unlink()
    assert invoker.wait_until_idle(FAR_SECONDS)
    assert invoker.ask("hello").text == "fine"


def test_a_process_that_will_not_leave_is_killed(fake: Make) -> None:
    """It ignores SIGTERM and the end of its input; `close` waits for it all the same."""
    invoker = fake()
    invoker.ask("ignore_the_end")
    pid = invoker.status().pid
    assert pid
    invoker.close()
    assert not psutil.pid_exists(pid)


def test_swelling_while_idle_is_ended_at_once(fake: Make) -> None:
    """Over the hard limit a process does not live on until its replacement is there."""
    invoker = fake(max_rss_mb=49, hard_rss_mb=50)
    invoker.ask("leak")
    wait_until(lambda: invoker.status().restarts == {"rss_hard": 1})
    assert invoker.ask("hello").text == "fine"


@pytest.mark.parametrize("fault", ["deaf", "ask_and_leave"])
def test_closing_while_a_process_starts_is_quiet(fake: Make, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """No task's failure is left to nobody."""
    invoker = fake(fault)
    invoker.start()
    wait_until(lambda: any(one._dir and one._dir.pid() for one in invoker._keeper._pool.alive()))
    invoker.close()
    gc.collect()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []


def test_who_was_killed_is_left_to_asyncio(
    fake: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else takes a dead process' status, however late asyncio's own thread comes for it."""
    wait, abandon = os.waitpid, cli.ClaudeClient.abandon
    is_abandoned = threading.Event()

    def wait_late(pid: int, options: int) -> tuple[int, int]:
        assert options or is_abandoned.wait(FAR_SECONDS)
        return wait(pid, options)

    def kill_until_dead(pid: int) -> None:
        kill_group(pid)
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def abandon_and_tell(client: cli.ClaudeClient) -> None:
        abandon(client)
        is_abandoned.set()

    monkeypatch.setattr(os, "waitpid", wait_late)
    monkeypatch.setattr(running_cli, "kill_group", kill_until_dead)
    monkeypatch.setattr(cli.ClaudeClient, "abandon", abandon_and_tell)
    invoker = fake(stall_seconds=3.0)
    assert failure_of(invoker, "deaf").kind is FailureKind.STALLED
    invoker.close()
    assert is_abandoned.is_set()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []


def test_questions_of_a_process_that_is_gone_are_dropped(fake: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's answers to them fail in tasks that nobody waits for."""
    invoker = fake()
    assert failure_of(invoker, "ask_and_leave").kind is FailureKind.DIED
    invoker.close()
    gc.collect()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []
