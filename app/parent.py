"""Ends a process of ours after its supervisor, where the kernel does not (`ops.supervisor.child`)."""

from __future__ import annotations

import os
import signal
import threading
import time

from app import environment

_KERNEL_DOES_IT = os.uname().sysname == "Linux"


def die_with_parent(every_seconds: float = 0.5) -> None:
    """End this process within `every_seconds` after its supervisor, where the kernel does not see to it. Call it first.

    Without a supervisor (its pid is in NIGHTSHIFT_SUPERVISOR_PID) nothing happens.
    """
    supervisor = environment.variables().get("NIGHTSHIFT_SUPERVISOR_PID", "")
    if supervisor.isdigit() and not _KERNEL_DOES_IT:
        watch_parent(int(supervisor), every_seconds)


def watch_parent(parent: int, every_seconds: float) -> None:
    """The part of `die_with_parent` that works everywhere: a thread that looks who the parent is."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every_seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
