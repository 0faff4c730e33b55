"""Recycled between turns, never in one, with the replacement connected first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from chaos.until import wait_until

if TYPE_CHECKING:
    from tests.integration.claude.conftest import Make
    from workers.claude.invoker import ClaudeInvoker


def wait_for_restart(invoker: ClaudeInvoker, reason: str) -> None:
    """Wait until there was a restart for `reason`, and the replacement is ready."""
    wait_until(lambda: invoker.status().restarts.get(reason) and invoker.status().state == "idle")


def test_by_turns(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """After so many turns another process serves; one line tells of it."""
    caplog.set_level("INFO")
    invoker = make(max_turns=3)
    invoker.ask("one")
    first = invoker.status().pid
    for _ in range(2):
        invoker.ask("more")
    wait_for_restart(invoker, "turns")
    assert invoker.status().pid not in (None, first)
    assert invoker.status().turns_total == 3
    # It is counted first.
    (line,) = wait_until(lambda: [r.message for r in caplog.records if r.message.startswith("[RESTART]")])
    words = dict(word.split("=") for word in line.split()[1:])
    assert words["reason"] == "turns"
    assert (words["turns"], words["restarts"], words["errors"]) == ("3", "1", "0")
    assert float(words["rss_before_mb"]) > 50
    assert float(words["rss_after_mb"]) > 50
    assert float(words["delta_mb"]) == pytest.approx(
        float(words["rss_after_mb"]) - float(words["rss_before_mb"]), abs=0.2
    )


def test_by_memory(make: Make) -> None:
    """A tree that is too large is replaced by a fresh one, also while nobody asks."""
    invoker = make(max_rss_mb=100)
    invoker.ask("one")
    wait_for_restart(invoker, "rss")
    invoker.ask("two")


def test_by_idle_time(make: Make) -> None:
    """A process that was used and then left alone is replaced once, not again and again."""
    invoker = make(max_idle_seconds=0.3)
    invoker.ask("one")
    wait_for_restart(invoker, "idle")
    first = invoker.status().pid
    time.sleep(1.5)
    assert invoker.status().pid == first


def test_no_request_waits_for_the_replacement(make: Make) -> None:
    """The old process goes on until the new one is connected."""
    invoker = make(max_turns=4)
    invoker.ask("warm up")
    slowest = 0.0
    for number in range(12):
        started = time.monotonic()
        invoker.ask(f"number {number}")
        slowest = max(slowest, time.monotonic() - started)
    wait_for_restart(invoker, "turns")
    # A start takes 0.4 s at least, and the first turn of a fresh process 0.1 s; on a busy machine more of both.
    assert slowest < 1.5
