"""The machine is kept awake while a batch goes on, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from chaos.until import wait_until
from ops.supervisor import awake, hooks
from ops.supervisor.awake import Awake
from tests.integration.batches.conftest import line

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.batches.conftest import Night


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Linux and macOS have for it: they run the command that they are given. Here is no logind that could be asked."""
    for name in ("systemd-inhibit", "caffeinate"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\nfor last; do :; done\n"$last"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_it_is_off_by_default(night: Night) -> None:
    assert hooks.keeping_awake(night.settings, lambda _: None) == []


@pytest.mark.usefixtures("programs")
def test_while_a_batch_goes_on(night: Night) -> None:
    """Not for one that waits for somebody's word."""
    pids: list[int] = []
    ((_, _, look),) = hooks.keeping_awake(replace(night.settings, keep_awake=True), pids.append)
    look()
    assert pids == []
    batch = night.start([line(str(number)) for number in range(6)], metadata={"try": "2"})
    look()
    look()
    (pid,) = pids
    assert psutil.pid_exists(pid)
    while not batch.held:
        night.answer()
        batch = night.look(batch)
    look()
    assert not psutil.pid_exists(pid)


def test_a_program_that_fails_is_tried_again_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    pids: list[int] = []
    kept = Awake(lambda: True, pids.append, ["sh", "-c", "echo Access denied >&2; exit 1"])
    for count in (1, 2, 3):
        kept.run_once()
        assert len(pids) == count
        assert kept._process
        kept._process.wait(10)
    assert caplog.text.count("this machine may fall asleep: sh ended: Access denied") == 1


@pytest.mark.usefixtures("programs")
def test_it_ends_with_whoever_wants_it() -> None:
    """Even when that one is killed."""
    code = (
        "from ops.supervisor.awake import *; import time\n"
        "Awake(lambda: True, lambda pid: print(pid, flush=True), program()).run_once(); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        process = psutil.Process(int(owner.stdout.readline()))
        wait_until(process.children, "the command that it runs")
        family = [process, *process.children()]
        owner.send_signal(signal.SIGKILL)
        _, left = psutil.wait_procs(family, timeout=30)
    assert left == []


def test_a_machine_without_such_a_program(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It says so, and goes on."""
    monkeypatch.setenv("PATH", "")
    Awake(lambda: True, lambda _: None, awake.program()).run_once()
    assert "this machine has no systemd-inhibit or caffeinate" in caplog.text
