"""`nightshift restart`: new processes in place of the old ones, and no request notices."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ops.cli import options
from ops.supervisor.errors import StackError
from ops.supervisor.lock import DataDirLock
from ops.supervisor.signals import RESTART

if TYPE_CHECKING:
    import argparse

HELP = "Replace the API, the workers and the callbacks of a running `nightshift up`, one after another, without failing a request."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    options.data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for it; the running one says how far it is."""
    settings = options.settings(args)
    pid = DataDirLock.holder(settings.data_dir)
    if pid is None:
        raise StackError(
            f"No Nightshift runs on {settings.data_dir}. If it has another data dir, name it with --data-dir."
        )
    os.kill(pid, RESTART)
    print(f"Asked process {pid}; its own output says when all are new.", file=sys.stderr)
    return 0
