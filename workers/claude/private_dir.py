"""A Claude process' private directory: made before it starts, gone after it ended, also after a kill -9 of its owner."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

#: Prefix of the directories in a work dir, so that nothing else there is ever removed.
PREFIX = "process-"
#: The launcher writes its own idea of when it started; creation times of processes are about as exact, seconds.
START_TOLERANCE_SECONDS = 5.0
LAUNCHER = Path(__file__).with_name("launcher.py")


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

    def write_system(self, text: str) -> Path:
        """Write the system text for the CLI to read; `forget_system` removes it."""
        return self._write("system.txt", text)

    def forget_system(self) -> None:
        """Remove the system text: the running process has read it."""
        (self.path / "system.txt").unlink(missing_ok=True)

    def pid(self) -> int | None:
        """The pid that the launcher left, which is the CLI's; None before it ran."""
        return (_read(self.path / "pid.json") or {}).get("pid")

    def remove(self) -> None:
        """Remove it all. The process must have ended."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, text: str) -> Path:
        path = self.path / name
        # A lone surrogate, which JSON allows, has no UTF-8; the CLI makes the same of it.
        path.write_bytes(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode())
        path.chmod(0o600)
        return path


def end_leftovers(work_dir: Path) -> list[int]:
    """End the Claude processes whose owners are gone, and remove what they left in `work_dir`; return their pids.

    On Linux the kernel has ended them already. A pid is killed only when the process began when the file says.
    """
    ended: list[int] = []
    for path in work_dir.glob(f"{PREFIX}*"):
        owner = _read(path / "owner.json")
        if owner and _is_alive(owner, tolerance=0.01):
            continue
        process = _read(path / "pid.json")
        if process and _is_alive(process, tolerance=START_TOLERANCE_SECONDS):
            kill_group(process["pid"])
            ended.append(process["pid"])
        resumed = Path((process or {}).get("config_dir") or "")
        if resumed.name.startswith("claude-resume-"):
            shutil.rmtree(resumed, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)
    return ended


def kill_group(pid: int) -> None:
    """Kill a process and all of its group, which it leads; nothing happens when they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        # Before it leads a group of its own it is alone.
        os.kill(pid, signal.SIGKILL)


def wait_gone(pid: int, seconds: float) -> bool:
    """Wait until a process is gone or a zombie of ours; return whether it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
                continue
        return True
    return False


def _read(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_alive(record: dict[str, object], tolerance: float) -> bool:
    try:
        process = psutil.Process(int(str(record["pid"])))
        return abs(process.create_time() - float(str(record["started"]))) <= tolerance
    except (psutil.Error, KeyError, ValueError):
        return False
