"""A worker's directory, and the end of those whose worker died.

Each worker holds a lock on its directory for as long as it lives. A directory whose lock can be taken has no worker any
more: the Claude processes that it left are ended, and it is deleted, with any prompts in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from typing import TYPE_CHECKING

from workers.claude import end_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = "lock"
#: how often, and after what time, a directory that something is still written into is tried to be removed, seconds
_REMOVALS = 5
_AGAIN_SECONDS = 0.1


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
            held.callback(_remove, own)
            fcntl.flock(held.enter_context((own / _LOCK).open("w")), fcntl.LOCK_EX)
        yield own


def _sweep(root: Path) -> None:
    for found in root.iterdir():
        if found.is_dir() and _is_dead(found):
            _remove(found)


def _is_dead(own: Path) -> bool:
    """Whether it has no worker. One without a lock has none: it is made with it, and was being removed when that broke off."""
    try:
        with (own / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _remove(own: Path) -> None:
    """Remove the directory; again when a process that was just being ended has written into it meanwhile."""
    for _ in range(_REMOVALS):
        end_leftovers(own)
        shutil.rmtree(own, ignore_errors=True)
        if not own.exists():
            return
        time.sleep(_AGAIN_SECONDS)
