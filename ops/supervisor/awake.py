"""The machine stays awake while a batch runs (`NIGHTSHIFT_KEEP_AWAKE`), by the program that its system has for that.

Such a program holds off sleep for as long as the command runs that it is given. Ours is `cat`, which reads a pipe of this process: when the
work is done the pipe is closed, and when this process dies, however it does, the kernel closes it.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

_PROGRAMS = {
    "Linux": ("systemd-inhibit", "--what=sleep:idle", "--who=Nightshift", "--why=A batch runs", "--mode=block", "cat"),
    "Darwin": ("caffeinate", "-i", "-s", "cat"),
}
#: for the program to end after its pipe, seconds
_END_SECONDS = 2.0


def program() -> Sequence[str] | None:
    """What this machine has for it; None: nothing."""
    found = _PROGRAMS.get(platform.system())
    return found if found and shutil.which(found[0]) else None


class Awake:
    """`is_wanted` says whether there is work to stay awake for; `started` is told each process that this one has started."""

    def __init__(
        self, is_wanted: Callable[[], bool], started: Callable[[int], None], argv: Sequence[str] | None
    ) -> None:
        self._is_wanted = is_wanted
        self._started = started
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._is_failing = False
        if argv is None:
            log.warning("[AWAKE] NIGHTSHIFT_KEEP_AWAKE is set, and this machine has no systemd-inhibit or caffeinate")

    def run_once(self) -> None:
        """Look whether it is wanted, and start or end the program."""
        if self._argv is None:
            return
        if not self._is_wanted():
            self._end()
        elif self._process is None:
            self._start(self._argv)
        elif self._process.poll() is not None:
            self._say_failed(self._process)
            self._end()
            self._start(self._argv)
        else:
            self._is_failing = False

    def _start(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        self._started(self._process.pid)

    def _say_failed(self, process: subprocess.Popen[bytes]) -> None:
        """Once, however often it fails."""
        if not self._is_failing:
            said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
            log.warning("[AWAKE] this machine may fall asleep: %s ended: %s", process.args[0], said)  # type: ignore[index]
        self._is_failing = True

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
