"""Which server is asked, and as whom: the variables are those of the command `nightshift`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
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
        """What is given; else `NIGHTSHIFT_URL`, or this machine's `NIGHTSHIFT_PORT`; and `NIGHTSHIFT_API_KEY`, or the first of `NIGHTSHIFT_API_KEYS`."""
        port = os.environ.get("NIGHTSHIFT_PORT") or DEFAULT_PORT
        url = base_url or os.environ.get("NIGHTSHIFT_URL") or f"http://127.0.0.1:{port}"
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
