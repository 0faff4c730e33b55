"""`/v1/gate`: whether jobs are taken, and pausing and resuming by hand."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api import params
from api.openapi_meta import described
from api.services import current_services
from app import clock, errors, health
from app.gate import BY_HAND, Gate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.gate import Closed, Closings
    from app.settings import Settings
    from app.way_status import WayStatus

blueprint = Blueprint("gate", __name__)


class Pause(BaseModel):
    """`POST /v1/gate/pause`; all of it may be left out."""

    model_config = ConfigDict(strict=True, extra="ignore")

    until: Annotated[float, Field(le=params.LAST_SECOND)] | None = None
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None


@blueprint.get("/v1/gate")
def look() -> Response:
    """The gate object."""
    return _answer()


@blueprint.post("/v1/gate/pause")
@described(body=Pause, body_is_optional=True)
def pause() -> Response:
    """Take no further job, until `until` (seconds since the epoch) or for ever; what runs goes on."""
    body = params.read_body()
    wanted = params.checked(Pause, body) if body else Pause()
    until = math.inf if wanted.until is None else wanted.until
    if until <= clock.now():
        raise errors.invalid_request("'until' takes a time to come, in seconds since the epoch.", param="until")
    Gate(current_services().connection).pause(until, wanted.reason or BY_HAND)
    return _answer()


@blueprint.post("/v1/gate/resume")
def resume() -> Response:
    """Take jobs again, and try at once whatever else had closed the gate."""
    Gate(current_services().connection).resume()
    return _answer()


def gate_object(closings: Closings, settings: Settings, parked: int) -> dict[str, Any]:
    """`open`, or what stops all requests; the `scopes` that are closed beside that; how many jobs wait for one of them, parked."""
    return {
        **closed_object(closings.holding_all(settings.worker_ways)),
        "scopes": [
            {"way": str(scope.way), "family": scope.family or None, **closed_object(closed)}
            for scope, closed in closings.scopes.items()
        ],
        "parked": parked,
    }


def closed_object(closed: Closed | None) -> dict[str, Any]:
    """`open`, and when it is closed why, since when, and until when (null: nobody knows). Seconds since the epoch."""
    if closed is None:
        return {"object": "gate", "open": True}
    return {
        "object": "gate",
        "open": False,
        "cause": str(closed.cause),
        "reason": closed.reason,
        "limit": closed.limit or None,
        "since": closed.since,
        "until": _known(closed.until),
        "probe_at": _known(closed.probe_at),
    }


def ways_object(found: Iterable[WayStatus]) -> list[dict[str, Any]]:
    """Each way of the ladder: `open` or `closed` with why, the families of models that it is closed to, what it has spent."""
    return [_way_object(one) for one in found]


def _way_object(one: WayStatus) -> dict[str, Any]:
    spent, cap = one.spent, one.step.cap
    return {
        "way": str(one.step.way),
        "login": one.step.login or None,
        "state": "open" if one.closed is None else "closed",
        "closed": None if one.closed is None else closed_object(one.closed),
        "windows": [asdict(window) for window in one.windows],
        "families": {family: closed_object(closed) for family, closed in sorted(one.families.items())},
        "spent": None
        if spent is None or cap is None
        else {
            "usd": round(spent.usd, 6),
            "cap_usd": cap.usd,
            "period": cap.period,
            "until": int(spent.until),
            "unpriced": spent.unpriced,
        },
    }


def _answer() -> Response:
    services = current_services()
    now = health.look(services.connection)
    return jsonify(gate_object(now.closings, services.settings, sum(now.parked.values())))


def _known(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds
