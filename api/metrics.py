"""`/metrics`: for Prometheus, the same from whichever API process is asked, since all of it is in Redis."""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from api.metric_families import Families
from api.openapi_meta import described
from api.services import current_services
from app import disk

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@described(answers={200: ("text/plain", "application/openmetrics-text")})
def metrics() -> Response:
    """Prometheus' text, or OpenMetrics where that is asked for.

    With Redis away it is a 200 with `nightshift_redis_up 0` and little else: so an alert can tell that from an API that is away.
    """
    services = current_services()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(services.connection, services.settings, disk.free_bytes(services.settings.data_dir)))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)
