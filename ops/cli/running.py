"""`nightshift stop` and `restart`: what is asked of a `nightshift up` that runs elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from app.settings import Settings
from ops.cli.options import DataDir
from ops.supervisor.data_dir import DataDirLock
from ops.supervisor.errors import StackError
from ops.supervisor.signals import RESTART
from ops.supervisor.supervisor import STOP_SECONDS

#: a stop takes `STOP_SECONDS` at most, longer on a busy machine
_SECONDS = 3 * STOP_SECONDS
_POLL_SECONDS = 0.05
_NONE = "No Nightshift runs on {}. If it has another data dir, name it with --data-dir."


def stop(*, data_dir: DataDir = None) -> int:
    """What Ctrl-C does, and wait. 0 when it has ended, or none ran."""
    where = Settings.from_environment(data_dir=data_dir).data_dir
    pid = DataDirLock.holder(where)
    if pid is None:
        print(_NONE.format(where), file=sys.stderr)
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _has_ended(where, pid):
        raise StackError(f"Process {pid} was asked to stop, and still runs after {_SECONDS:.0f} s.")
    print("Stopped.", file=sys.stderr)
    return 0


def restart(*, data_dir: DataDir = None) -> int:
    """Ask for new processes in place of the old ones; the running one says how far it is."""
    where = Settings.from_environment(data_dir=data_dir).data_dir
    pid = DataDirLock.holder(where)
    if pid is None:
        raise StackError(_NONE.format(where))
    os.kill(pid, RESTART)
    print(f"Asked process {pid}; its own output says when all are new.", file=sys.stderr)
    return 0


def _has_ended(data_dir: Path, pid: int) -> bool:
    give_up = time.monotonic() + _SECONDS
    while DataDirLock.holder(data_dir) == pid:
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_SECONDS)
    return True
