"""Several warm processes on one worker: who serves, who goes, and that nothing is left of those that went."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil

from chaos.until import wait_until
from tests.integration.claude.conftest import settings_for
from workers.claude import Profile
from workers.claude.process import ClaudeProcess

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.integration.claude.conftest import Make
    from workers.claude import ClaudeInvoker


def test_each_profile_has_its_warm_process(fake: Make) -> None:
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
    wait_until(lambda: not psutil.pid_exists(pids["b"]))


def test_all_warm_processes_are_watched(fake: Make) -> None:
    """One that dies, leaks or idles is noticed although another profile is in use."""
    invoker = fake(max_rss_mb=100, max_idle_seconds=0)
    invoker.ask("hello", Profile(model="sonnet"))
    first = invoker.status().pid
    assert first
    invoker.ask("hello", Profile(model="b"))
    psutil.Process(first).kill()
    wait_until(lambda: invoker.status().restarts == {"died": 1})
    invoker.ask("leak", Profile(model="sonnet"))
    invoker.ask("leak", Profile(model="sonnet"))
    invoker.ask("hello", Profile(model="b"))
    wait_until(lambda: invoker.status().restarts == {"died": 1, "rss": 1})


def test_an_idle_process_of_another_profile_is_ended(fake: Make) -> None:
    """Only the profile that was asked for last is kept ready."""
    invoker = fake(max_idle_seconds=0.2, warm_processes=2)
    invoker.ask("hello", Profile(model="sonnet"))
    first = invoker.status().pid
    assert first
    invoker.ask("hello", Profile(model="b"))
    wait_until(lambda: invoker.status().restarts.get("idle") == 2 and not psutil.pid_exists(first))
    wait_until(lambda: len(invoker._keeper._pool.alive()) == 1 and invoker.status().state == "idle")


def test_another_login_ends_all_processes_of_the_last_one(fake: Make, tmp_path: Path) -> None:
    """Not only that of the profile that is asked for."""
    invoker = fake(login={}, claude_home=tmp_path)
    invoker.ask("hello", Profile(model="b"))
    invoker.ask("hello")
    (tmp_path / ".credentials.json").write_text("{}")
    assert invoker.ask("hello").text == "fine"
    assert invoker.status().restarts == {"login": 2}
    assert invoker.status().login == "claude_home"


def test_process_isolation_keeps_a_fresh_process_for_each_profile(fake: Make) -> None:
    """No process has two requests, whatever they alternate between."""
    invoker = fake(isolation="process")
    for model in ("sonnet", "b", "sonnet", "b"):
        invoker.ask("hello", Profile(model=model))
    # The used ones have ended, and each has another in its place.
    wait_until(lambda: [one.turns for one in invoker._keeper._pool.alive()] == [0, 0])


def test_a_look_at_one_that_starts_is_no_look_at_one_that_is_gone(tmp_path: Path) -> None:
    """It may have started by the time the look is back: taken for dead, it would be killed, and its first request fail."""

    async def look() -> None:
        held = threading.Event()
        with ThreadPoolExecutor(1) as executor:
            asyncio.get_running_loop().set_default_executor(executor)
            executor.submit(held.wait)
            process = ClaudeProcess(settings_for("http://127.0.0.1:9", tmp_path), None, Profile(), tmp_path)
            looking = asyncio.create_task(process.measure())
            await asyncio.sleep(0)
            process.pid = started.pid
            held.set()
            await looking
            assert process.is_usable

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as started:
        asyncio.run(look())
        started.kill()


def test_a_leak_is_seen_logged_and_recycled(fake: Make, caplog: pytest.LogCaptureFixture) -> None:
    """After a turn that left too much behind another process serves; no request notices."""
    caplog.set_level("INFO")
    invoker = fake(max_rss_mb=200)
    for _ in range(4):
        assert invoker.ask("leak").text == "fine"
    wait_until(lambda: invoker.status().restarts == {"rss": 1})
    assert invoker.ask("hello").text == "fine"
    (line,) = [r.message for r in caplog.records if r.message.startswith("[RESTART] reason=rss ")]
    words = dict(word.split("=") for word in line.split()[1:])
    assert float(words["rss_before_mb"]) > 180
    assert float(words["delta_mb"]) < -100
    wait_until(lambda: invoker.status().rss_mb < 60)


def test_many_recycles_leave_no_child_no_descriptor_and_no_thread(fake: Make) -> None:
    """After ten recycles and two hundred requests there is what was there after two."""
    invoker = fake(max_turns=20)
    recycle(invoker, 2)
    before = holdings()
    recycle(invoker, 12)
    assert invoker.status().turns_total > 200
    assert holdings() == before


def recycle(invoker: ClaudeInvoker, count: int) -> None:
    """Ask until there were so many recycles, and the last process that went has gone."""
    while invoker.status().restarts.get("turns", 0) < count:
        assert invoker.ask("hello").text == "fine"
    wait_until(lambda: invoker.status().state == "idle" and len(invoker._keeper._pool.alive()) == 1)


def holdings() -> dict[str, int]:
    """What this process holds."""
    own = psutil.Process()
    return {"children": len(own.children()), "descriptors": own.num_fds(), "threads": own.num_threads()}
