"""The page's addresses: its files, its stream, and its two buttons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from flask import Blueprint, Flask, Response, current_app, render_template, request, send_from_directory
from markupsafe import Markup

from api import auth, client_socket
from api.openapi_meta import EVENTS, described
from api.overview.live import Live
from api.services import current_services
from app import clock, errors
from app.error_codes import ErrorCode
from app.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Mapping

blueprint = Blueprint("page", __name__, url_prefix="/page")

_LIVE = "nightshift-page"
#: nothing from elsewhere, no inline script or style
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
#: how long the page pauses for, by what its form sends, seconds
PAUSES: Mapping[str, float] = {"": math.inf, "1h": 3600, "3h": 3 * 3600, "8h": 8 * 3600}
_PAUSE_FORM = {"type": "object", "properties": {"for": {"enum": list(PAUSES)}}}


def register(app: Flask) -> None:
    """Add the page to the application; `/` shows it."""
    app.register_blueprint(blueprint)


def page() -> Response:
    """The whole page as it is now."""
    sections = {name: Markup(html) for name, html in _live().sections().items()}  # noqa: S704 - escaped templates
    response = Response(render_template("overview/page.html", sections=sections))
    if len(sections) == 1:
        response.status_code = 503
    response.headers["Content-Security-Policy"] = _POLICY
    # Forms send their origin; with `no-referrer` they would not.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/live")
@described(answers={200: (EVENTS,)}, errors=(429,))
def live() -> Response:
    """Server-sent events for `/`: JSON objects of HTML by section, those that have changed. 429 `too_many_pages`.

    They end with the key that asked for them.
    """
    is_gone, holds = client_socket.is_gone(), auth.holds()
    events = _live().stream(lambda: is_gone() or not holds(), client_socket.is_writable())
    response = Response(events, mimetype=EVENTS)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


@blueprint.get("/static/<path:name>")
@described(answers={200: ("text/css", "text/javascript", "image/svg+xml")})
def static_file(name: str) -> Response:
    """What `/` is made of."""
    response = send_from_directory("static", name)
    response.headers["Cache-Control"] = "no-cache"
    return response


@blueprint.post("/pause")
@described(form=_PAUSE_FORM, answers={303: ()})
def pause() -> Response:
    """`/`'s button: take no further job for the chosen time. Only from that page; programs use `/v1/gate/pause`."""
    auth.require_same_origin()
    wanted = request.form.get("for", "")
    if wanted not in PAUSES:
        raise errors.invalid_request("'for' takes 1h, 3h, 8h or nothing.", param="for", code=ErrorCode.INVALID_VALUE)
    Gate(current_services().connection).pause(clock.now() + PAUSES[wanted])
    return _back()


@blueprint.post("/resume")
@described(answers={303: ()})
def resume() -> Response:
    """`/`'s button: take jobs again, and try what else had closed the gate. Only from that page."""
    auth.require_same_origin()
    Gate(current_services().connection).resume()
    return _back()


def _back() -> Response:
    _live().forget()
    return Response(status=303, headers={"Location": "/"})


def _live() -> Live:
    found = current_app.extensions.get(_LIVE)
    if found is None:
        found = current_app.extensions.setdefault(_LIVE, Live(current_services(), current_app.jinja_env))
    return cast("Live", found)
