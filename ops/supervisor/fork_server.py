"""Imports what workers need, once, and forks them: `python -P -m ops.supervisor.fork_server FD PARENT MODULE,MODULE PADDING`.

A worker that is forked shares the pages of all that was imported, and need not import it. Linux only. Orders come by the socket with the
number FD, one JSON object each: `{"argv": [python, "-P", "-m", module, ...], "signal": number}`; the answer is `{"pid": number}` or
`{"error": text}`, and a first one without an order says that all is imported.

A worker becomes a child of the supervisor (PARENT), as if that had started it: the process between it and this one ends at once, and the
kernel gives the worker to the next subreaper above (`ops.supervisor.orphans.adopt`). So it is the supervisor that the kernel tells of its
end, and when this process is killed no worker notices. Nothing but modules may be here when it forks: no thread, no connection, no open file.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.supervisor.child import signal_at_parents_death

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: an order, bytes
MOST_BYTES = 64 * 1024
#: words before the module in `python -P -m module ...`
_BEFORE_MODULE = 3
#: how long a worker waits to be given to the supervisor, seconds: as long as the process between takes to end
_ADOPTION_SECONDS = 5.0


def main(arguments: Sequence[str]) -> list[str]:
    """Serve until the supervisor is gone. Returns in each forked worker, and there alone: what it is to run, the module first."""
    control, parent, modules = int(arguments[0]), int(arguments[1]), arguments[2].split(",")
    # Before anything is freed: whatever the collector moves or marks later is no longer shared.
    gc.disable()
    for module in modules:
        import_module(module)
    _refuse_to_fork_with_more_than_modules(control)
    show_as([*sys.orig_argv[: _BEFORE_MODULE + 1], *modules])
    gc.collect()
    gc.freeze()
    return _serve(socket.socket(fileno=control), parent)


def _refuse_to_fork_with_more_than_modules(control: int) -> None:
    """Threads are not forked, and what they had locked stays locked; an open file or connection would be everybody's."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        sys.exit(f"importing has started {threads - 1} threads: workers can't be forked")
    listed = Path("/proc/self/fd").iterdir()
    # The one by which they were listed is closed again.
    files = [path for path in list(listed) if path.is_symlink() and int(path.name) not in (0, 1, 2, control)]
    if files:
        sys.exit(f"importing has opened {len(files)} files: workers can't be forked")


def _serve(control: socket.socket, parent: int) -> list[str]:
    control.send(b"{}")
    while order := control.recv(MOST_BYTES):
        wanted: dict[str, Any] = json.loads(order)
        read, write = os.pipe()
        try:
            between = os.fork()
        except OSError as error:
            os.close(read)
            os.close(write)
            control.send(json.dumps({"error": f"fork: {error.strerror}"}).encode())
            continue
        if between == 0:
            if not _is_forked_again():
                os._exit(0)
            control.close()
            os.close(read)
            _become(wanted, parent, write)
            return list(wanted["argv"][_BEFORE_MODULE:])
        os.close(write)
        os.waitpid(between, 0)
        control.send(_all_of(read) or b'{"error": "it ended before it had begun"}')
    os._exit(0)


def _is_forked_again() -> bool:
    """True in the process that is to be the worker, False in the one between."""
    try:
        return os.fork() == 0
    except OSError:
        return False


def _all_of(read: int) -> bytes:
    with os.fdopen(read, "rb") as answer:
        return answer.read()


def _become(wanted: Mapping[str, Any], parent: int, write: int) -> None:
    """Be a child of the supervisor like any other, and say so; or say why not, and end."""
    try:
        _wait_for_adoption(parent)
        os.setsid()
        signal_at_parents_death(wanted["signal"])
        if os.getppid() != parent:
            raise OSError("the supervisor is gone")
        show_as(wanted["argv"])
        gc.enable()
        os.write(write, json.dumps({"pid": os.getpid()}).encode())
        os.close(write)
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not go on as a fork server
        os.write(write, json.dumps({"error": str(error) or type(error).__name__}).encode())
        os._exit(1)


def _wait_for_adoption(parent: int) -> None:
    give_up = time.monotonic() + _ADOPTION_SECONDS
    while os.getppid() != parent:
        if time.monotonic() > give_up:
            raise OSError("the supervisor does not get what is forked")
        time.sleep(0.0005)


def show_as(argv: Sequence[str]) -> None:
    """Have `ps` and /proc show this command line, as far as there is room where the first one was: PADDING makes some.

    A last byte that is not 0 tells the kernel that the words are one text that ends at the first 0, as setproctitle(3) leaves it.
    """
    # The fields after the name, which is in brackets and may have any; the first of them is number 3 (proc_pid_stat(5)).
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[48 - 3]), int(fields[49 - 3])
    room = end - start - 2
    ctypes.memmove(start, os.fsencode(" ".join(argv))[:room].ljust(room + 1, b"\0") + b"\1", room + 2)


if __name__ == "__main__":
    module, *rest = main(sys.argv[1:])
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
