"""Ends what a start that was killed has left behind, found by pid and time of creation."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from app.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

#: the clock may have been set between the two looks at a process, seconds
_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Record:
    """The file in which a supervisor keeps its children, for the next start on the same data dir."""

    path: Path

    def write(self, pids: Iterable[int]) -> None:
        """Note who lives now."""
        found = []
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                found.append([pid, psutil.Process(pid).create_time()])
        try:
            write_private(self.path, json.dumps(found))
        except OSError as error:
            log.warning("%s can't be written, so that the next start finds less to end: %s", self.path, error)

    def end_all(self, seconds: float = 5.0) -> None:
        """End every recorded process that still lives, and wait for it: gently first, then by force."""
        living = self._living()
        for process in living:
            log.warning("ending a leftover of the last start: process %d (%s)", process.pid, process.name())
            _signal_tree(process, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(living, timeout=seconds)
        for process in stubborn:
            _signal_tree(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=seconds)
        self.path.unlink(missing_ok=True)

    def _living(self) -> list[psutil.Process]:
        try:
            recorded = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return []
        found = []
        for pid, created in recorded:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if (
                    abs(process.create_time() - created) <= _TOLERANCE_SECONDS
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found


def _signal_tree(process: psutil.Process, number: signal.Signals) -> None:
    """Its own group, when it leads one; else only itself."""
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if number == signal.SIGKILL and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
