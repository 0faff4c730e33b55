"""`/metrics`: the counters and what is measured now, as families of metrics. All of it is in Redis, so any API process may be asked.

Each label is one of a few: endpoints, sizes of models, codes of errors, causes, reasons, states; and workers by their place, not
by their process, of which there is another after each restart.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api import scale
from api.openapi_meta import described
from api.services import current_services
from app import counters, disk, health, way_status
from app.batches.parts.steps import totals
from app.connection import RedisError
from app.gate import Cause
from app.health import unready
from app.history import closings
from app.jobs.record import ENDPOINTS
from app.outcome import CACHE
from app.recycle_reason import RecycleReason
from app.scale import demand
from app.scopes import FAMILIES
from app.ways import Way
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric
    from redis import Redis

    from app.batches.store import Batches
    from app.caps import Spent
    from app.counters import Counts
    from app.health import Health, Server
    from app.settings import Settings
    from app.way_status import WayStatus
    from app.worker_status import WorkerStatus


blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@described(answers={200: ("text/plain", "application/openmetrics-text")})
def metrics() -> Response:
    """Prometheus' text, or OpenMetrics where that is asked for.

    With Redis away it is a 200 with `nightshift_redis_up 0` and little else: so an alert can tell that from an API that is away.
    """
    services = current_services()
    registry = CollectorRegistry(auto_describe=False)
    free = disk.free_bytes(services.settings.data_dir)
    registry.register(Families(services.connection, services.settings, services.batches, free))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)


_MIB = 1024 * 1024

#: metric, its counter, help, labels, what one of the counter is worth, labels that are shown before anything was counted
_COUNTERS = (
    ("requests", counters.REQUESTS, "Requests that ended.", ("endpoint", "model", "outcome"), 1, ()),
    ("tokens", counters.TOKENS, "Tokens read and written, by kinds that do not overlap.", ("kind", "model"), 1, ()),
    ("cost_usd", counters.COST, "What Claude said it cost.", ("model",), 1e-6, ()),
    ("key_requests", counters.KEY_REQUESTS, "Requests that ended, by the key that made them.", ("key",), 1, ()),
    ("key_tokens", counters.KEY_TOKENS, "Tokens read and written, by key.", ("key",), 1, ()),
    ("key_cost_usd", counters.KEY_COST, "What it cost, as far as that is known, by key.", ("key",), 1e-6, ()),
    (
        "answers",
        counters.WAYS,
        "Requests that Claude was asked for, by the way to it; cache: those that were answered before.",
        ("way",),
        1,
        (*Way, CACHE),
    ),
    (
        "worker_restarts",
        counters.RESTARTS,
        "Claude processes that were replaced.",
        ("reason",),
        1,
        tuple(RecycleReason),
    ),
    (
        "callback_attempts",
        counters.CALLBACKS,
        "Attempts to deliver an event.",
        ("result",),
        1,
        ("delivered", "retry", "undelivered"),
    ),
)
_HISTOGRAMS = (
    ("queue_seconds", counters.QUEUE, "From a request's acceptance to the start of the run that ended it."),
    ("run_seconds", counters.RUN, "From that start to the end."),
    (
        "first_token_seconds",
        counters.FIRST_TOKEN,
        "From a streamed request's acceptance to the first piece of its answer.",
    ),
)


class Families(Collector):
    """Collects once for each scrape."""

    def __init__(self, connection: Redis, settings: Settings, batches: Batches, disk_free_bytes: int | None) -> None:
        self._connection = connection
        self._settings = settings
        self._batches = batches
        self._disk_free_bytes = disk_free_bytes

    def collect(self) -> Iterator[Metric]:
        """All families; those that need Redis only while it answers."""
        yield InfoMetricFamily(
            "nightshift_build", "What runs.", value={"version": version("claude-nightshift"), "rq": version("rq")}
        )
        if self._disk_free_bytes is not None:
            yield _gauge("data_dir_free_bytes", "Room on the disk of the data dir.", self._disk_free_bytes)
        try:
            now = health.look(self._connection)
            counts = counters.read(self._connection)
            closed_seconds = closings.closed_seconds(self._connection)
            ways = way_status.read(self._connection, self._settings.ways)
            in_parts = totals(self._connection)
            scaled = demand.look(self._connection, self._settings, now, counts, self._batches.active())
        except RedisError:
            yield _gauge("redis_up", "Whether Redis answers.", 0)
            return
        yield _gauge("redis_up", "Whether Redis answers.", 1)
        yield from _counted(counts)
        yield _closed_seconds(closed_seconds)
        yield from _spending({one.step.way: one.spent for one in ways if one.spent is not None})
        yield _windows(ways)
        yield from scale.metrics(scaled, in_parts)
        yield from _queue(now)
        yield from _gate(now, self._settings)
        yield from _server(now.redis)
        yield from self._workers(now)

    def _workers(self, now: Health) -> Iterator[Metric]:
        lease = self._settings.lease_seconds
        alive = [row for row in now.workers if row.is_alive(lease)]
        is_ready = unready(now, self._settings) is None
        yield _gauge("ready", "Whether a worker can serve a request that comes now.", is_ready)
        states = GaugeMetricFamily("nightshift_workers", "Workers that live, by what they do.", labels=["state"])
        for state in WorkerState:
            if state is not WorkerState.GONE:
                states.add_metric([state], sum(row.state is state for row in alive))
        yield states
        memory = GaugeMetricFamily(
            "nightshift_worker_memory_bytes",
            "Memory: resident, of a worker's Claude processes with their children; and of the worker itself, of what it shares its part.",
            labels=["worker", "part"],
        )
        for place, row in by_place(alive).items():
            memory.add_metric([place, "claude"], row.rss_mb * _MIB)
            memory.add_metric([place, "python"], row.python_rss_mb * _MIB)
        yield memory
        yield _gauge(
            "worker_memory_limit_bytes",
            "What the Claude processes of one worker may take together: beyond its share, each is recycled.",
            self._settings.max_rss_mb * self._settings.warm_processes * _MIB,
        )


def by_place(rows: list[WorkerStatus]) -> dict[str, WorkerStatus]:
    """Workers by host and number, `HOST-worker-1`; of two at one place the one that spoke last."""
    found = {}
    for row in sorted(rows, key=lambda row: row.beat_at):
        found[row.place] = row
    return found


def _counted(counts: Counts) -> Iterator[Metric]:
    for metric, counter, text, labels, worth, shown in _COUNTERS:
        family = CounterMetricFamily(f"nightshift_{metric}", text, labels=labels)
        values: dict[tuple[str, ...], int] = {(one,): 0 for one in shown}
        values |= {key[1:]: value for key, value in counts.items() if key[0] == counter and len(key) == len(labels) + 1}
        for one, value in sorted(values.items()):
            family.add_metric(one, value * worth)
        yield family
    for metric, counter, text in _HISTOGRAMS:
        histogram = HistogramMetricFamily(f"nightshift_{metric}", text, labels=["endpoint"])
        for endpoint in ENDPOINTS:
            buckets, total = counters.histogram(counts, counter, endpoint)
            histogram.add_metric([endpoint], buckets, total)
        yield histogram


def _closed_seconds(seconds: dict[str, float]) -> Metric:
    family = CounterMetricFamily(
        "nightshift_gate_closed_seconds",
        "For how long a way to Claude, or all of them, took no request of any model, by cause.",
        labels=["cause"],
    )
    for cause in Cause:
        family.add_metric([cause], seconds.get(cause, 0.0))
    return family


def _windows(found: Iterable[WayStatus]) -> Metric:
    family = GaugeMetricFamily(
        "nightshift_window_utilization",
        "Share of a subscription's usage window that is used, as answers last reported it.",
        labels=["way", "window"],
    )
    for one in found:
        for window in one.windows:
            family.add_metric([one.step.way, window.name], window.utilization)
    return family


def _spending(spent: Mapping[Way, Spent]) -> Iterator[Metric]:
    usd = GaugeMetricFamily(
        "nightshift_spent_usd", "What a way with a cap has spent in the present day or month.", labels=["way"]
    )
    caps = GaugeMetricFamily("nightshift_spending_cap_usd", "How much it may spend in it.", labels=["way"])
    for way, one in spent.items():
        usd.add_metric([way], one.usd)
        caps.add_metric([way], one.cap.usd)
    yield usd
    yield caps


def _queue(now: Health) -> Iterator[Metric]:
    yield _gauge("queued", "Requests that wait.", now.queued)
    yield _gauge("in_progress", "Requests that run.", now.in_progress)
    yield _gauge("oldest_queued_seconds", "The age of the request that waits longest.", now.oldest_queued_seconds)
    yield _gauge("feeder_up", "Whether a process does the batches' work.", bool(now.feeders))
    skews = GaugeMetricFamily(
        "nightshift_clock_skew_seconds",
        "How far a machine's clock is ahead of Redis' (below 0: behind).",
        labels=["host"],
    )
    for host, skew in now.skews.items():
        skews.add_metric([host], skew)
    yield skews
    yield _gauge("callbacks_waiting", "Events that are to be delivered.", now.callbacks_waiting)
    yield _gauge(
        "callbacks_undelivered", "Events given up in the last days, after all attempts.", now.callbacks_undelivered
    )


def _gate(now: Health, settings: Settings) -> Iterator[Metric]:
    whole = GaugeMetricFamily("nightshift_gate_closed", "Whether no request is taken, by cause.", labels=["cause"])
    closed = [now.closings.pause, replace(now.closings, pause=None).holding_all(settings.worker_ways)]
    causes = {one.cause for one in closed if one is not None}
    for cause in Cause:
        whole.add_metric([cause], cause in causes)
    yield whole
    scopes = GaugeMetricFamily(
        "nightshift_scope_closed",
        "Whether requests by a way to Claude, of one model family or of all, are not taken.",
        labels=["way", "family", "cause"],
    )
    for scope, one in now.closings.scopes.items():
        scopes.add_metric([scope.way, scope.family or "all", one.cause], 1)
    yield scopes
    parked = GaugeMetricFamily(
        "nightshift_parked", "Requests that wait outside of the queue for a closed scope.", labels=["family"]
    )
    for family in ("", *FAMILIES):
        number = sum(number for lot, number in now.parked.items() if lot.family == family)
        parked.add_metric([family or "all"], number)
    yield parked


def _server(server: Server) -> Iterator[Metric]:
    yield _gauge("redis_memory_bytes", "Memory that Redis uses for data.", server.used_memory_mb * _MIB)
    yield _gauge("redis_max_memory_bytes", "What it may use; 0: no limit.", server.max_memory_mb * _MIB)
    yield _gauge("redis_aof_enabled", "Whether each write is appended to a file.", server.aof_enabled)
    yield _gauge("redis_persisting", "Whether the last writes to the disk succeeded.", server.is_persisting)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"nightshift_{name}", text, value=value)
