"""Which server is asked, and as whom: the variables are those of the command `nightshift`."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_PORT = 8204
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Server:
    """An address without `/v1`, and a key, which may be empty."""

    url: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, base_url: str | None, api_key: str | None) -> Server:
        """What is given; else `NIGHTSHIFT_URL`, this machine's `NIGHTSHIFT_PORT`, what runs on its data dir, or the default port; and `NIGHTSHIFT_API_KEY`, or the first of `NIGHTSHIFT_API_KEYS`."""
        url = base_url or os.environ.get("NIGHTSHIFT_URL") or _of_this_machine()
        if "://" not in url:
            url = f"http://{url}"
        first = os.environ.get("NIGHTSHIFT_API_KEYS", "").split(",")[0].strip()
        key = api_key if api_key is not None else os.environ.get("NIGHTSHIFT_API_KEY") or first
        return cls(url.rstrip("/").removesuffix("/v1"), key)

    @property
    def headers(self) -> dict[str, str]:
        """Of each request."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def may_need_a_proxy(self) -> bool:
        """Whether `HTTP_PROXY` and its like are for it: no proxy leads to this machine."""
        return (urlsplit(self.url).hostname or "") not in _LOOPBACK


def _of_this_machine() -> str:
    if port := os.environ.get("NIGHTSHIFT_PORT"):
        return f"http://127.0.0.1:{port}"
    return _running() or f"http://127.0.0.1:{DEFAULT_PORT}"


def _running() -> str | None:
    """The address of the `nightshift up` of this user, which writes it into the file that it holds a lock on."""
    data_dir = os.environ.get("NIGHTSHIFT_DATA_DIR") or "~/.nightshift"
    with suppress(ImportError, OSError, RuntimeError, ValueError, TypeError, KeyError):
        import fcntl  # noqa: PLC0415 - Windows has none, and no Nightshift

        with (Path(data_dir).expanduser() / "nightshift.lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return str(json.loads(file.read(4096))["address"])
    return None
