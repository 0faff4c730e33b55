"""A Claude process' private directory: made before it starts, gone after it ended, also after a kill -9 of its owner."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Prefix of the directories in a work dir, so that nothing else there is ever removed.
PREFIX = "process-"
#: The launcher writes its own idea of when it started; creation times of processes are about as exact, seconds.
START_TOLERANCE_SECONDS = 5.0
LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class _Record:
    """A process as a file names it; `started`, epoch seconds, distinguishes it from a later one with the same pid."""

    pid: int
    started: float

    def is_alive(self, tolerance_seconds: float) -> bool:
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) <= tolerance_seconds
        except psutil.Error:
            return False


class PrivateDir:
    """`cwd`, `home`, `config` and `tmp` of one process, mode 0700, with the launcher's files beside them."""

    def __init__(self, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work_dir))
        for name in ("cwd", "home", "config", "tmp"):
            (self.path / name).mkdir(mode=0o700)
        self._write("owner.json", json.dumps({"pid": os.getpid(), "started": psutil.Process().create_time()}))

    @property
    def cwd(self) -> Path:
        """The process' working directory; empty, and stays so."""
        return self.path / "cwd"

    def write_launcher(self, cli: Path, keep: list[str]) -> Path:
        """Write the program that starts `cli` with the variables named in `keep`; return its path."""
        spec = {"cli": str(cli), "keep": keep, "parent": os.getpid(), "pid_file": str(self.path / "pid.json")}
        self._write("launch.json", json.dumps(spec))
        command = [sys.executable, "-I", "-S", str(LAUNCHER), str(self.path / "launch.json")]
        # A `#!` line takes one word and no spaces, so the shell has to find the way.
        self._write("claude", f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (self.path / "claude").chmod(0o700)
        return self.path / "claude"

    def pid(self) -> int | None:
        """The pid that the launcher left, which is the CLI's; None before it ran."""
        record = _read(self.path / "pid.json")
        return record.pid if record else None

    def remove(self) -> None:
        """Remove it all. The process must have ended."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path


def end_leftovers(work_dir: Path) -> list[int]:
    """End the Claude processes whose owners are gone, and remove what they left in `work_dir`; return their pids.

    On Linux the kernel has ended them already. A pid is killed only when the process began when the file says.
    """
    ended: list[int] = []
    for path in work_dir.glob(f"{PREFIX}*"):
        owner = _read(path / "owner.json")
        if owner and owner.is_alive(tolerance_seconds=0.01):
            continue
        process = _read(path / "pid.json")
        if process and process.is_alive(tolerance_seconds=START_TOLERANCE_SECONDS):
            kill_group(process.pid)
            ended.append(process.pid)
        shutil.rmtree(path, ignore_errors=True)
    return ended


def kill_group(pid: int) -> None:
    """Kill a process and all of its group, which it leads; nothing happens when they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        # Before it leads a group of its own it is alone.
        os.kill(pid, signal.SIGKILL)


def _read(path: Path) -> _Record | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _Record(int(found["pid"]), float(found["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
