"""What our children leave behind when they are killed. On Linux such processes become ours, and are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection

_PR_SET_CHILD_SUBREAPER = 36


def adopt(on: bool = True) -> None:
    """From now on a grandchild whose parent ends becomes our child instead of init's. Nothing on macOS."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - not needed on macOS

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def children() -> frozenset[int]:
    """The pids of this process's children."""
    return frozenset(process.pid for process in psutil.Process().children())


def end(known: Collection[int]) -> int:
    """Kill and reap every child of ours that is not among the known ones. How many lived.

    While a supervisor runs, its process starts others through it alone: a child that came meanwhile and that it does not know
    is an orphan.
    """
    count = 0
    for process in psutil.Process().children():
        if process.pid in known:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            count += process.status() != psutil.STATUS_ZOMBIE
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
    return count
