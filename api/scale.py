"""`GET /v1/scale`: how many workers there should be, for KEDA and whatever else starts and stops them; and the same for `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint
from prometheus_client.core import GaugeMetricFamily

from api.services import current_services
from app import counters, health
from app.scale import demand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from app.scale.demand import Scale


blueprint = Blueprint("scale", __name__)


@blueprint.get("/v1/scale")
def scale() -> dict[str, Any]:
    """The number of workers that would finish in time what there is, `workers`, with its reason in words.

    `alive`: those that there are. `for_batches` and `for_requests`: what each needs of it. `next_deadline_at`: of a batch with lines left,
    seconds since the epoch. `lines_per_minute`: over the last five minutes; null while that is not measured.
    """
    services = current_services()
    found = demand.look(
        services.connection,
        services.settings,
        health.look(services.connection),
        counters.read(services.connection),
        services.batches.active(),
    )
    return {
        "object": "scale",
        "workers": found.wanted.workers,
        "reason": found.wanted.reason,
        "alive": found.alive,
        "for_batches": round(found.wanted.for_batches, 2),
        "for_requests": round(found.wanted.for_requests, 2),
        "lines_left": found.lines_left,
        "lines_per_minute": found.lines_per_minute,
        "next_deadline_at": None if found.deadline_at is None else int(found.deadline_at),
        "batches": {state: found.batches.get(state, 0) for state in demand.states()},
    }


def metrics(found: Scale, in_parts: Mapping[str, int]) -> Iterator[Metric]:
    """The same as families of metrics. `in_parts`: lines that go by Message Batches, by where they are."""
    yield _gauge("workers_wanted", "Workers that would finish in time what there is.", found.wanted.workers)
    yield _gauge("batch_lines_left", "Lines of batches that have not ended.", found.lines_left)
    batches = GaugeMetricFamily(
        "nightshift_batches",
        "Batches that have not ended; held: until somebody or a budget lets them go on.",
        labels=["state"],
    )
    for state in demand.states():
        batches.add_metric([state], found.batches.get(state, 0))
    yield batches
    if found.deadline_at is not None:
        yield _gauge(
            "batch_next_deadline_timestamp_seconds", "When the next batch with lines left expires.", found.deadline_at
        )
    if found.lines_per_minute is not None:
        yield _gauge("batch_lines_per_minute", "Lines that ended, over the last five minutes.", found.lines_per_minute)
    parts = GaugeMetricFamily(
        "nightshift_part_lines", "Lines of batches that go by Message Batches, by where they are.", labels=["state"]
    )
    for state in ("unsent", "sent", "ended"):
        parts.add_metric([state], in_parts[state])
    yield parts


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"nightshift_{name}", text, value=value)
