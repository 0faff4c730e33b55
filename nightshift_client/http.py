"""A flow's calls as httpx has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from nightshift_client.errors import APIConnectionError, error_of

if TYPE_CHECKING:
    from nightshift_client.calls import Call
    from nightshift_client.server import Server

#: a large upload is answered when it is on the server's disk, seconds
_TIMEOUT_SECONDS = 600.0
_CONNECT_SECONDS = 5.0


def options(server: Server) -> dict[str, Any]:
    """Of `httpx.Client` and `AsyncClient`."""
    return {
        "base_url": server.url,
        "headers": server.headers,
        "timeout": httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_SECONDS),
        "trust_env": server.may_need_a_proxy,
    }


def request(call: Call) -> dict[str, Any]:
    """Of their `request`."""
    found: dict[str, Any] = {"method": call.method, "url": call.path, "json": call.json}
    if call.method == "POST":
        found["headers"] = {"Idempotency-Key": call.key}
    if call.upload is not None:
        name, content = call.upload
        found["files"] = {"purpose": (None, "batch"), "file": (name, content, "application/octet-stream")}
    return found


def read(call: Call, response: httpx.Response) -> Any:
    """What the call is answered with. Raises `APIStatusError`."""
    if response.status_code >= 400:
        raise error_of(response)
    return response.content if call.is_raw else response.json()


def connection_error(url: str, error: httpx.HTTPError) -> APIConnectionError:
    """For people."""
    return APIConnectionError(
        f"No answer from {url} ({type(error).__name__}). Is `nightshift up` running there? Another address: base_url or NIGHTSHIFT_URL."
    )
