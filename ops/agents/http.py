"""The same by HTTP, for agents on this machine or on others. Each caller sends its own key, which Nightshift judges.

On a loopback address the package lets in no page of another origin (DNS rebinding). On any other a key is needed, and a page
of whatever origin is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.loopback import is_loopback
from ops.agents.server import desks, make
from ops.agents.tool import waited
from ops.cli.batch.server import Server, ServerAway, ServerError

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/mcp"
#: a key that was refused or revoked is noticed after it, seconds
_KNOWN_SECONDS = 30.0
_MAX_KNOWN = 1000
_MAX_BODY = 32 * 1024 * 1024
_BEARER = "Bearer "


def key_of(request: Request | None) -> str:
    """What the caller sent; empty: nothing."""
    sent = "" if request is None else request.headers.get("authorization", "")
    return sent.removeprefix(_BEARER).strip() if sent.startswith(_BEARER) else ""


def check(url: str | None) -> None:
    """That a Nightshift is there which asks for keys: others could use it by this address. Raises `ServerError`."""
    if Server(url, "").takes_key():
        raise ServerError(
            "This Nightshift takes requests without a key, so that whoever reaches the address could use it. Set"
            " NIGHTSHIFT_API_KEYS there, or let `nightshift mcp` listen on 127.0.0.1."
        )


class Guard:
    """Lets in who has a key. For addresses that others may reach."""

    def __init__(self, app: ASGIApp, url: str | None) -> None:
        self._app = app
        self._url = url
        #: key to when it was taken
        self._known: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "http" and (refused := await self._refusal(Request(scope))):
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _refusal(self, request: Request) -> JSONResponse | None:
        if "origin" in request.headers:
            return _answer(403, "Pages of a browser are not let in.")
        key = key_of(request)
        if not key:
            return _answer(401, "Send a key of Nightshift's: 'Authorization: Bearer KEY'.")
        if time.monotonic() - self._known.get(key, float("-inf")) < _KNOWN_SECONDS:
            return None
        try:
            await waited(check, self._url)
            is_good = await waited(Server(self._url, key).takes_key)
        except ServerAway as error:
            return _answer(503, str(error))
        except ServerError as error:
            return _answer(403, str(error))
        if not is_good:
            self._known.pop(key, None)
            return _answer(401, "Nightshift does not take this key.")
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = time.monotonic()
        return None


def _answer(status: int, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": {"message": message}}, status, headers)


def app(url: str | None, host: str, *, may_submit: bool) -> ASGIApp:
    """The application at `PATH`."""
    of = desks(url)
    protocol = make(lambda context: of(key_of(_request(context))), may_submit=may_submit)
    is_ours = is_loopback(host)
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=is_ours,
        allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
        allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
    )
    # No session is kept: a restart interrupts nobody, and nothing of one caller is another's.
    found = protocol.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        host=host,
        transport_security=security,
        max_request_body_size=_MAX_BODY,
    )
    return found if is_ours else Guard(found, url)


def _request(context: Any) -> Request | None:
    found = context.request
    return found if isinstance(found, Request) else None


def serve(listener: socket.socket, url: str | None, host: str, *, may_submit: bool) -> None:
    """Until a signal comes."""
    config = uvicorn.Config(app(url, host, may_submit=may_submit), log_config=None, access_log=False, lifespan="on")
    anyio.run(lambda: uvicorn.Server(config).serve(sockets=[listener]))
