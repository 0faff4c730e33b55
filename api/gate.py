"""`/v1/gate`: whether jobs are taken, and pausing and resuming by hand."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from api import gate_object, params
from api.services import services
from app import errors
from app.gate import Gate

if TYPE_CHECKING:
    from typing import Any

blueprint = Blueprint("gate", __name__)


@blueprint.get("/v1/gate")
def look() -> Response:
    """The gate object."""
    return _answer(Gate(services().connection))


@blueprint.post("/v1/gate/pause")
def pause() -> Response:
    """Take no further job, until `until` (seconds since the epoch) or for ever; what runs goes on."""
    body: dict[str, Any] = params.json_object(request.get_data()) if request.content_length else {}
    until = body.get("until", math.inf)
    is_number = isinstance(until, int | float) and not isinstance(until, bool)
    if not is_number or until <= time.time():
        raise errors.invalid_request("'until' takes a time to come, in seconds since the epoch.", param="until")
    gate = Gate(services().connection)
    gate.pause(until, str(body.get("reason") or "paused by hand"))
    return _answer(gate)


@blueprint.post("/v1/gate/resume")
def resume() -> Response:
    """Take jobs again, and try at once whatever else had closed the gate."""
    gate = Gate(services().connection)
    gate.resume()
    return _answer(gate)


def _answer(gate: Gate) -> Response:
    return jsonify(gate_object.of(gate.read()))
