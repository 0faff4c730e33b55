"""Each request has an id, the client's or ours: in the answer's `x-request-id`, in the job's record and in every line about it.

The client's trace (`traceparent`) is kept with the job, too.
"""

from __future__ import annotations

import logging
import re
import time
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Flask, Response, g, request

from app import logs, trace_context
from app.ids import new_request_id
from app.outcome import IGNORED

if TYPE_CHECKING:
    from app.settings import Settings

log = logging.getLogger(__name__)

_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
#: what a client's own id is made of; another is not taken over
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")
_MAX_NAMED = 30
#: of every answer that says nothing else of it. What clients and Claude wrote is data: no browser shall run it as a page or a script, show
#: it in a frame, hand it to a page of another site or keep it. (Pages that may ask have CORS, which goes before the last.)
_FOR_BROWSERS = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)


def register(app: Flask, settings: Settings) -> None:
    """Number the requests, and put on each answer the headers that all answers have."""

    @app.before_request
    def begin() -> None:
        g.request_id = request_id(request.headers.get("x-request-id", ""))
        g.trace = trace_context.parse(request.headers.get("traceparent", ""), request.headers.get("tracestate", ""))
        g.began_at = time.monotonic()
        # Of this thread, until its next request: a stream is written after the request has been handled.
        logs.begin(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        if ignored := g.get("ignored"):
            # The answer may have its own: what the model did not take.
            of_the_answer = response.headers.get(IGNORED)
            response.headers[IGNORED] = ", ".join(filter(None, [of_the_answer, _as_header(ignored)]))
        for name, value in _FOR_BROWSERS.items():
            response.headers.setdefault(name, value)
        if settings.offline:
            response.headers["x-nightshift-simulated"] = "true"
        _log(response)
        return response


def request_id(sent: str) -> str:
    """The client's own id where it is a sane one, else one of ours."""
    return sent if _REQUEST_ID.fullmatch(sent) else new_request_id()


def name_ignored(names: list[str]) -> None:
    """Tell the client in a header which of its fields had no effect."""
    g.ignored = names


def _as_header(names: list[str]) -> str:
    # Clients choose these names: what could not be a header's value is only counted.
    named = [name for name in names if _HEADER_NAME.fullmatch(name)][:_MAX_NAMED]
    others = len(names) - len(named)
    return ", ".join([*named, *([f"and {others} more"] if others else [])])


def _log(response: Response) -> None:
    sent = request.headers.get("X-Client-Request-Id", "")
    is_quiet = request.path.startswith("/health") or (request.method == "GET" and response.status_code < 400)
    level = logging.DEBUG if is_quiet else logging.INFO
    log.log(
        level,
        "[REQUEST] %s %s status=%s ms=%.0f client_id=%s",
        request.method,
        quote(request.path[:200]),
        response.status_code,
        (time.monotonic() - g.began_at) * 1000,
        sent if _CLIENT_ID.fullmatch(sent) else "-",
    )
