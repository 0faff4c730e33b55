"""Pages of other origins that may ask here: those that NIGHTSHIFT_CORS_ORIGINS names, and no other (the Fetch standard's CORS).

Off by default: a browser lets a page's script ask other origins only where their answers say that it may.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Flask, Response, request

if TYPE_CHECKING:
    from app.settings import Settings

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
    """Answer preflights, and tell browsers which origins may read answers. Before `auth`: a preflight carries no key."""
    allowed = frozenset(settings.cors_origins)
    if not allowed:
        return

    @app.before_request
    def preflight() -> Response | None:
        if (
            request.method != "OPTIONS"
            or "Access-Control-Request-Method" not in request.headers
            or not is_named(allowed)
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
        if is_named(allowed):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def is_named(origins: frozenset[str] | tuple[str, ...]) -> bool:
    """Whether the request comes from a page of one of these origins, and asks for what such pages may have."""
    return request.path.startswith(_PATHS) and request.headers.get("Origin") in origins
