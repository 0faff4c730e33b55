"""Who asks and what they may, and which pages of other sites may read the answer.

With keys, whoever sends one may ask; without, whoever is on this machine and means this machine. The keys of NIGHTSHIFT_API_KEYS, and this
machine where there are none, are the operator's: one owner, who sees and may do everything. A key with a name (`app.api_keys`) sees what
was made with it, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from app import clock, errors
from app.api_keys import KnownKeys
from app.connection import AWAY
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.ids import OWNER
from app.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from app.api_keys import ApiKey
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
    "x-request-id, x-nightshift-cost-usd, x-nightshift-cache-saved-usd, x-nightshift-attempts, x-nightshift-ignored,"
    " x-nightshift-simulated, x-nightshift-way, Location,"
    " Preference-Applied, Retry-After, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests,"
    " x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
#: how long a browser may keep what a preflight said, seconds
_KEEP_SECONDS = 600
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")
#: the operator's: what is about everybody's requests, or changes what everybody gets
_OPERATORS = ("/rq/", "/page/", "/metrics", "/v1/gate/", "/v1/keys", "/v1/scale")
#: styles and scripts, which tell nothing
_STATIC = "/page/static/"


def register(app: Flask, settings: Settings, connection: Redis) -> None:
    """Check each request before anything else looks at it, unknown paths included."""
    if settings.cors_origins:
        # First, for a preflight carries no key.
        _register_pages(app, frozenset(settings.cors_origins))
    keys = KnownKeys(connection)

    @app.before_request
    def check() -> None:
        g.caller = ""
        g.key = None
        g.is_trusted = False
        g.keys = keys
        g.refusal = _refusal(settings, keys)
        g.is_trusted = g.refusal is None and is_operator()
        if request.path not in OPEN_PATHS:
            require()
            if request.path.startswith(_OPERATORS) and not request.path.startswith(_STATIC):
                require_operator()


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
    """Refuse whoever has no key, where `OPEN_PATHS` has let them in. Raises `ErrorReply`."""
    if g.refusal is not None:
        raise g.refusal


def require_operator() -> None:
    """Refuse keys that see only what is their own. Raises `ErrorReply`."""
    require()
    if not is_operator():
        raise _forbidden("This takes a key of the operator's: one of NIGHTSHIFT_API_KEYS, or one made with --admin.")


def require_same_origin() -> None:
    """Refuse a form that another site's page has sent: a browser sends its key along with it. Raises `ErrorReply`."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", "")
    # Browsers name the site only to https and to this machine; the origin they name wherever they send a form.
    is_ours = site == "same-origin" if site is not None else origin.partition("://")[2] == request.host
    if not is_ours:
        raise _forbidden("This button works on Nightshift's own page only. Programs use the addresses under /v1/.")


def is_page(path: str) -> bool:
    """Whether it is for people with a browser."""
    return path == "/" or path.startswith(_PAGES)


def is_trusted() -> bool:
    """Whether this request may see details of the machine and of all requests: false for keys with names, and for strangers on `OPEN_PATHS`."""
    return bool(g.is_trusted)


def caller() -> str:
    """Stands for the key that was sent, without being it, the same after a rotation; empty when there are no keys."""
    return str(g.caller)


def key() -> ApiKey | None:
    """The key with a name that was sent; None: the operator's, or none."""
    found: ApiKey | None = g.key
    return found


def holds() -> Callable[[], bool]:
    """A function that returns whether the request's key is still accepted, for a stream that has no end of its own."""
    known, mine = g.keys, key()
    return lambda: mine is None or known.still_holds(mine)


def is_operator() -> bool:
    """Whether the request may see and do everything."""
    return key() is None or g.key.is_admin


def owner() -> str:
    """Whose things this request makes."""
    return OWNER if g.key is None else str(g.key.name)


def seen_owner() -> str | None:
    """Whose things this request may see; None: everybody's."""
    return None if is_operator() else owner()


def may_see(whose: str) -> bool:
    """Whether what has that owner is there for this request."""
    return is_operator() or whose == owner()


def require_model(model: str) -> None:
    """Raises `ErrorReply` (403) for a Claude model that the request's key may not use."""
    if g.key is not None and not g.key.may_use(model):
        raise errors.model_not_allowed(model, g.key.models)


def _refusal(settings: Settings, keys: KnownKeys) -> ErrorReply | None:
    sent = _sent_key()
    if _is_one_of(settings.api_keys, sent):
        g.caller = hashlib.sha256(sent.encode()).hexdigest()[:32]
        return None
    try:
        # Found by its digest: the time tells nothing of how near a guess is.
        g.key = keys.find(sent)
    except AWAY:
        return errors.queue_away()
    if g.key is not None:
        g.caller = f"key {g.key.name}"
        return None if g.key.is_valid(clock.now()) else errors.key_ended(is_revoked=g.key.revoked_at is not None)
    # Without any keys a client may send what it likes; with some, a key that was mistyped or deleted is no operator's.
    if settings.api_keys or (sent and keys.are_there()):
        return errors.unauthorized()
    return _not_local(settings)


def _is_one_of(keys: tuple[str, ...], sent: str) -> bool:
    # Each is compared, in constant time, so that the time tells nothing of which one was nearly right.
    matches = [hmac.compare_digest(sent.encode(), key.encode()) for key in keys]
    return bool(sent) and any(matches)


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
