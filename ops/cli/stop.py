"""`nightshift stop`: what Ctrl-C does, for a Nightshift in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from ops.cli import options
from ops.supervisor.errors import StackError
from ops.supervisor.lock import DataDirLock
from ops.supervisor.supervisor import STOP_SECONDS

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

HELP = "Stop a running `nightshift up`, and wait until it has ended. What is queued goes on at the next start."

#: a stop takes `STOP_SECONDS` at most, longer on a busy machine
_SECONDS = 3 * STOP_SECONDS
_POLL_SECONDS = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    options.data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Ask it to stop, and wait. 0 when it has ended, or none ran."""
    data_dir = options.settings(args).data_dir
    pid = DataDirLock.holder(data_dir)
    if pid is None:
        print(
            f"No Nightshift runs on {data_dir}. If it has another data dir, name it with --data-dir.", file=sys.stderr
        )
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _has_ended(data_dir, pid):
        raise StackError(f"Process {pid} was asked to stop, and still runs after {_SECONDS:.0f} s.")
    print("Stopped.", file=sys.stderr)
    return 0


def _has_ended(data_dir: Path, pid: int) -> bool:
    give_up = time.monotonic() + _SECONDS
    while DataDirLock.holder(data_dir) == pid:
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_SECONDS)
    return True
