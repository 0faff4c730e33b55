"""Becomes a Claude process: `python -I -S launcher.py SPEC ARGUMENT...`. Standard library only, and no imports of ours.

The SDK gives its child the whole environment of its parent and no way to say otherwise. This program runs in between:
it keeps the variables whose names the spec lists, leads a session of its own, asks Linux to be killed with its parent,
leaves its pid behind for `end_leftovers`, and then *becomes* the CLI, so that pid and pipes stay what they are.

The spec is a JSON file: `{"cli", "keep": [names], "parent": pid, "pid_file": path}`. It holds no value of any variable.
"""

import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
NICE = 5


def main() -> None:
    """Read the spec, prepare this process, become the CLI."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - pathlib would double the start time
        spec = json.load(file)
    os.setsid()
    # The worker has to be quicker than the CLI when an answer is cut (see `Turn.is_cut`), on a busy machine too.
    os.nice(NICE)
    _die_with_parent(spec["parent"])
    kept = {name: os.environ[name] for name in spec["keep"] if name in os.environ}
    draft = spec["pid_file"] + ".tmp"
    with open(draft, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump({"pid": os.getpid(), "started": time.time()}, file)  # noqa: TID251 - compared with the kernel's
    os.replace(draft, spec["pid_file"])  # noqa: PTH105
    os.execve(spec["cli"], [spec["cli"], *sys.argv[2:]], kept)  # noqa: S606 - no shell is the point


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, however that went. Linux only."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - not needed elsewhere, and slow to import

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the kernel was asked.
    if os.getppid() != parent:
        sys.exit("the worker is gone")


main()
