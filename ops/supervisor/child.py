"""Starts a program so that it can't outlive its parent. Runs as a script, `-I -S`: only light imports here.

    python -I -S child.py --parent PID --signal N [--lock FILE] -- program arguments...

On Linux the kernel sends the signal when the parent ends, however it ends. It does so when the *thread* that started the
child ends, too: start children from a thread that stays. On macOS there is no such thing: our own programs call
`app.parent.die_with_parent`, others are ended at the next start (`ops.supervisor.pidfile`).
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_LINUX = os.uname().sysname == "Linux"
#: how long a program waits for the lock of its predecessor, seconds
_LOCK_SECONDS = 10.0


def command(argv: Sequence[str], *, signal: int = _SIGKILL, lock: str | None = None) -> list[str]:
    """The command line that runs `argv` as a child of the calling process, and ends it with `signal` after our death.

    With `lock`, the program holds an exclusive lock on that file for its life and its own children's: two can't run.
    """
    launcher = [sys.executable, "-I", "-S", __file__, "--parent", str(os.getpid()), "--signal", str(signal)]
    return [*launcher, *(["--lock", lock] if lock else []), "--", *argv]


def main(arguments: list[str]) -> NoReturn:
    """Tie this process to its parent, then become the program."""
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    argv = arguments[split + 1 :]
    if _LINUX:
        signal_at_parents_death(int(options["--signal"]))
    if os.getppid() != int(options["--parent"]):
        sys.exit(1)  # the parent was gone before we could tie ourselves to it
    if "--lock" in options:
        _hold(options["--lock"])
    try:
        os.execvpe(argv[0], argv, os.environ)  # noqa: S606 - a program of ours, from a list
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


def signal_at_parents_death(number: int) -> None:
    """Have the kernel send it to this process when its parent ends. Linux only; exits when it can't be."""
    import ctypes  # noqa: PLC0415 - not needed on macOS

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


def _hold(path: str) -> None:
    """Lock the file, write our pid into it, and let the program inherit it: the lock lasts as long as the program."""
    import fcntl  # noqa: PLC0415 - the launcher must stay light

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > give_up:
                sys.exit(f"{path}: held by another process")
            time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)


if __name__ == "__main__":
    main(sys.argv[1:])
