"""The real command with stand-ins for the API and the workers: what is tested here is who lives and who ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from chaos.until import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STAND_INS = Path(__file__).parent / "stand_ins"
ROOT = Path(__file__).parents[3]
#: of a test's environment, what a start may see
_KEPT = ("PATH", "LANG", "TMPDIR")


class Up:
    """A `nightshift up` in the foreground of a session of its own.

    `by`: what it is started by, e.g. `nohup`; `terminal`: the end of one, which becomes the session's own.
    """

    def __init__(
        self, data_dir: Path, *options: str, by: Sequence[str] = (), terminal: int | None = None, **environ: str
    ) -> None:
        self.data_dir = data_dir
        env = {k: v for k, v in os.environ.items() if k in _KEPT} | {"HOME": str(data_dir.parent)}
        env |= {"PYTHONPATH": os.pathsep.join([str(STAND_INS), str(ROOT)]), "ANTHROPIC_API_KEY": "a-key"} | environ
        command = [
            *by,
            sys.executable,
            "-P",
            "-m",
            "ops.cli.main",
            "up",
            "--port",
            "0",
            "--data-dir",
            str(data_dir),
            *options,
        ]
        self.log = data_dir.parent / f"{data_dir.name}-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env=env,
                cwd=data_dir.parent,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_take_terminal if terminal is not None else None,  # noqa: PLW1509 - it takes no lock
            )
        self.seen: set[psutil.Process] = set()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def started(self) -> Up:
        """Wait for its screen."""
        wait_until(lambda: "ends it." in self.output or self.process.poll() is not None, "its screen")
        assert "ends it." in self.output, (self.process.returncode, self.output)
        self.look()
        return self

    def look(self) -> set[psutil.Process]:
        """Its whole tree now; remembered for `nothing_left`."""
        found = set(psutil.Process(self.process.pid).children(recursive=True))
        self.seen |= found
        return found

    def running(self, part: str) -> list[psutil.Process]:
        """Its processes with this in their command line."""
        found = []
        for process in self.look():
            with contextlib.suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def named(self, *parts: str) -> psutil.Process:
        """The one process with one of these in its command line."""
        (found,) = [process for part in parts for process in self.running(part)]
        return found

    def ended(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(seconds)

    def nothing_left(self) -> bool:
        """Whether of all processes seen none lives."""
        return not [p for p in self.seen if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def kill(self) -> None:
        """As `kill -9` does, the command alone."""
        self.look()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def redis_url(self) -> str:
        """Of the server it started: the stand-in of the API has noted it."""
        return str(json.loads((self.data_dir / "api.json").read_text())["REDIS_URL"])


def _take_terminal() -> None:
    """In the new process, whose input is a terminal: it is the one that sends SIGHUP when it is closed."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `nightshift up` on a data dir of the test's (`name`); all of it is gone afterwards."""
    begun: list[Up] = []

    def start(
        *options: str, name: str = "data", by: Sequence[str] = (), terminal: int | None = None, **environ: str
    ) -> Up:
        begun.append(Up(tmp_path / name, *options, by=by, terminal=terminal, **environ))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.look()
            one.process.kill()
            one.process.wait()
        for process in one.seen:
            if process.is_running():
                process.kill()
