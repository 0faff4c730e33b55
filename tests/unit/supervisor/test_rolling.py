"""The supervisor of processes that take their time to leave, or are not its own."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from ops.supervisor import rolling
from ops.supervisor.process import ProcessSpec
from ops.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    import pytest


def test_two_restarts_while_one_is_still_leaving(capsys: pytest.CaptureFixture[str]) -> None:
    """Each process has one follower: one that is still leaving since the restart before gets no second one."""
    # Nobody minds this signal, so that no process ever leaves.
    spec = ProcessSpec(
        name="api",
        argv=["sleep", "600"],
        env={"PATH": os.environ["PATH"]},
        drain_signal=signal.SIGURG,
        drains_alone=True,
        stop_seconds=0.1,
    )
    with Supervisor() as supervisor:
        supervisor.start([spec])
        for expected in (2, 3):
            rolling.roll(supervisor, supervisor._stages, print)
            assert len(supervisor.pids()) == expected
            assert len([one for one in supervisor._stages[0] if not one.is_draining]) == 1
    assert capsys.readouterr().out.count("Restarted.") == 2


def test_a_child_that_is_not_the_supervisors_lives_on() -> None:
    """Who runs a supervisor may have started processes before: these are no orphans of its children."""
    with subprocess.Popen(["sleep", "600"]) as before:
        with Supervisor() as supervisor:
            supervisor.start([ProcessSpec(name="short", argv=["sleep", "600"], env={"PATH": os.environ["PATH"]})])
        assert before.poll() is None
        before.kill()
