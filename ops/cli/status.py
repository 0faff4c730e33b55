"""`nightshift status`: what `/health` says, the batches and the latest failures, once or live."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Annotated, Any

from cyclopts import Parameter

from ops.cli import status_text
from ops.cli.batch import server
from ops.cli.batch.server import Server
from ops.cli.options import AsJson, Url

_POLL_SECONDS = 2.0
_BATCHES = 20
_FAILURES = 5
#: to the upper left; the rest of each line, and of the screen
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
#: another screen, without a cursor, and back to the one before
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def status(
    *,
    watch: Annotated[bool, Parameter(help="show it live, until Ctrl-C")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """0 when a worker can serve, as `/health/ready` says; 1 when none can, or the server is away."""
    with Server(url) as api:
        if watch and not as_json:
            return _watch(api)
        found = read(api)
    if as_json:
        server.show_json(found)
    else:
        print("\n".join(status_text.lines(found, _now(found), _size().columns)))
    return status_of(found)


def read(api: Server) -> dict[str, Any]:
    """`health`, and while there is a Redis `batches` (those that have not ended, and the newest) and `failures`."""
    health = api.health()
    found: dict[str, Any] = {"url": api.url, "health": health, "batches": [], "failures": []}
    if health.get("redis", {}).get("reachable", True):
        found["batches"] = api.batches(_BATCHES)
        found["failures"] = api.failures(_FAILURES)
    return found


def _now(found: dict[str, Any]) -> float:
    """The server's time, which all times in its answers are of."""
    return float(found["health"].get("now") or time.time())  # noqa: TID251 - of a server that does not say


def status_of(found: dict[str, Any]) -> int:
    """The exit status that it stands for."""
    return 0 if found["health"].get("ready") else 1


def _size() -> os.terminal_size:
    """Of the terminal; what goes elsewhere is not cut."""
    return shutil.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((10_000, 10_000))


def _watch(api: Server) -> int:
    """Until Ctrl-C; then the exit status of what was seen last."""
    is_live = sys.stdout.isatty()
    status = 1
    print(_ENTER if is_live else "", end="")
    try:
        while True:
            size = _size()
            try:
                found = read(api)
                status, lines = status_of(found), status_text.lines(found, _now(found), size.columns)
            except server.ServerAway as error:
                status, lines = 1, [str(error)]
            if is_live:
                lines = [f"{line}{_REST_OF_LINE}" for line in lines[: size.lines - 1]]
                print(_HOME + "\n".join(lines) + _REST_OF_SCREEN, end="", flush=True)
            else:
                print("\n".join([*lines, ""]), flush=True)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return status
    finally:
        print(_LEAVE if is_live else "", end="", flush=True)
