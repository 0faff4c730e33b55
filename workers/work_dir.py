"""A worker's directory, and the end of those whose worker died.

Each worker holds a lock on its directory for as long as it lives. A directory whose lock can be taken has no worker any
more: what Claude processes it left are ended, and it goes, with whatever prompts lie in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING

from workers.claude import end_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = "lock"


@contextlib.contextmanager
def work_dir(root: Path, name: str) -> Iterator[Path]:
    """`root/name`, ours until the context ends, when it is removed. Those of dead workers are swept away first."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = root / name
    with contextlib.ExitStack() as held:
        # One at a time: nobody sweeps away a directory that is made but not locked yet.
        with (root / _LOCK).open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            _sweep(root)
            own.mkdir(mode=0o700)
            held.callback(shutil.rmtree, own, ignore_errors=True)
            fcntl.flock(held.enter_context((own / _LOCK).open("w")), fcntl.LOCK_EX)
        yield own


def _sweep(root: Path) -> None:
    for found in root.iterdir():
        if not found.is_dir():
            continue
        with contextlib.suppress(FileNotFoundError, BlockingIOError), (found / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end_leftovers(found)
            shutil.rmtree(found, ignore_errors=True)
