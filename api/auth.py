"""Who may ask, and which pages of other sites may read the answer.

With keys, whoever sends one may ask; without, whoever is on this machine and means this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from app import errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.loopback import is_loopback

if TYPE_CHECKING:
    from app.settings import Settings


#: what may be seen without a key; it then tells nothing of the requests or the machine
OPEN_PATHS = frozenset({"/", "/health", "/health/ready"})
#: for people with a browser, which can send no key but as the password that it asks for
_PAGES = ("/rq/", "/page/", "/batches/", "/health", "/openapi.json")
#: what scripts may ask for; pages for people are not among it
_PATHS = "/v1/"
_METHODS = "GET, POST, DELETE"
#: headers of answers that scripts may read, beside those that any may
_EXPOSED = (
    "x-request-id, x-nightshift-cost-usd, x-nightshift-attempts, x-nightshift-ignored, x-nightshift-simulated, x-nightshift-way, Location,"
    " Preference-Applied, Retry-After, x-should-retry"
)
#: how long a browser may keep what a preflight said, seconds
_KEEP_SECONDS = 600
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")


def register(app: Flask, settings: Settings) -> None:
    """Check each request before anything else looks at it, unknown paths included."""
    if settings.cors_origins:
        # First, for a preflight carries no key.
        _register_pages(app, frozenset(settings.cors_origins))

    @app.before_request
    def check() -> None:
        g.caller = ""
        g.is_trusted = False
        g.refusal = _refusal(settings)
        g.is_trusted = g.refusal is None
        if request.path not in OPEN_PATHS:
            require()


def _register_pages(app: Flask, allowed: frozenset[str]) -> None:
    """Answer preflights, and tell browsers which origins may read answers."""

    @app.before_request
    def preflight() -> Response | None:
        if (
            request.method != "OPTIONS"
            or "Access-Control-Request-Method" not in request.headers
            or not _is_named(allowed)
        ):
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Max-Age"] = str(_KEEP_SECONDS)
        asked = request.headers.get("Access-Control-Request-Headers", "")
        if _HEADER_NAMES.fullmatch(asked):
            response.headers["Access-Control-Allow-Headers"] = asked
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    @app.after_request
    def allow(response: Response) -> Response:
        if request.path.startswith(_PATHS):
            response.vary.add("Origin")
        if _is_named(allowed):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def _is_named(origins: frozenset[str] | tuple[str, ...]) -> bool:
    """Whether the request comes from a page of one of these origins, and asks for what such pages may have."""
    return request.path.startswith(_PATHS) and request.headers.get("Origin") in origins


def require() -> None:
    """Refuse whoever is not trusted, where `OPEN_PATHS` has let them in. Raises `ErrorReply`."""
    if g.refusal is not None:
        raise g.refusal


def is_page(path: str) -> bool:
    """Whether it is for people with a browser."""
    return path == "/" or path.startswith(_PAGES)


def is_trusted() -> bool:
    """Whether this request may see details (only on `OPEN_PATHS` it may be false)."""
    return bool(g.is_trusted)


def caller() -> str:
    """Stands for the key that was sent, without being it; empty when there are no keys."""
    return str(g.caller)


def _refusal(settings: Settings) -> ErrorReply | None:
    if not settings.api_keys:
        return _not_local(settings)
    sent = _sent_key()
    # All keys are compared, each in constant time, so that the time tells nothing of which one was nearly right.
    matches = [hmac.compare_digest(sent.encode(), key.encode()) for key in settings.api_keys]
    if not sent or not any(matches):
        return errors.unauthorized()
    g.caller = hashlib.sha256(sent.encode()).hexdigest()[:32]
    return None


def _sent_key() -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic" and is_page(request.path) and request.authorization is not None:
        return request.authorization.password or ""
    return ""


def _not_local(settings: Settings) -> ErrorReply | None:
    """Without keys: the peer, the name it called us by, and the page whose script it is must all be this machine.

    The page may be another one that NIGHTSHIFT_CORS_ORIGINS names: its browser is on this machine.
    """
    # A unix socket has no address: whoever may open it is on this machine.
    if request.remote_addr and not is_loopback(request.remote_addr):
        return _forbidden("It listens to this machine only, since NIGHTSHIFT_API_KEYS is not set.")
    if not is_loopback(_host_of(f"//{request.headers.get('Host', '')}")):
        return _forbidden(
            "The Host header must be localhost or a loopback address, since NIGHTSHIFT_API_KEYS is not set: a foreign"
            " name that leads here is how web pages reach into a machine (DNS rebinding)."
        )
    origin = request.headers.get("Origin")
    if origin is not None and not is_loopback(_host_of(origin)) and not _is_named(settings.cors_origins):
        return _forbidden(
            "Pages of other sites may not ask here, since neither NIGHTSHIFT_CORS_ORIGINS names them nor NIGHTSHIFT_API_KEYS"
            " is set."
        )
    return None


def _forbidden(message: str) -> ErrorReply:
    return ErrorReply(403, message, code=ErrorCode.FORBIDDEN)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
