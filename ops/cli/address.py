"""Where the server is that a command talks to, and by which key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app import environment
from app.loopback import is_loopback
from app.settings import Settings
from ops.supervisor.data_dir import DataDirLock

if TYPE_CHECKING:
    from collections.abc import Mapping


def url(given: str | None, environ: Mapping[str, str]) -> str:
    """What was given; else `NIGHTSHIFT_URL`, this machine's `NIGHTSHIFT_PORT`, what runs on the data dir, the default port."""
    found = given or environ.get("NIGHTSHIFT_URL") or _of_this_machine(environ)
    if "://" not in found:
        found = f"http://{found}"
    return found.rstrip("/").removesuffix("/v1")


def key(environ: Mapping[str, str]) -> str:
    """`NIGHTSHIFT_API_KEY`; else the first of this machine's keys, if any."""
    return environ.get("NIGHTSHIFT_API_KEY") or environ.get("NIGHTSHIFT_API_KEYS", "").split(",")[0].strip()


def may_need_a_proxy(address: str) -> bool:
    """Whether `HTTP_PROXY` and its like are for it: no proxy leads to this machine."""
    try:
        return not is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return True


def _of_this_machine(environ: Mapping[str, str]) -> str:
    if port := environ.get("NIGHTSHIFT_PORT"):
        return f"http://127.0.0.1:{port}"
    running = None
    with contextlib.suppress(ValueError):  # no home, no data dir in it
        running = DataDirLock.address(environment.home_path(environ.get("NIGHTSHIFT_DATA_DIR") or "~/.nightshift"))
    return running or f"http://127.0.0.1:{Settings.port}"
