"""`/health`: what there is and how it does. `/health/ready`: whether a request that comes now would be answered."""

from __future__ import annotations

import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psutil
from flask import Blueprint, Response, jsonify

from api import auth
from api.gate import closed_object, gate_object, ways_object
from api.services import Services, current_services
from app import clock, disk, way_status
from app.batches.parts.steps import totals
from app.connection import RedisError
from app.health import look, unready, warnings
from app.hosts import hosts_of, shared_logins
from app.login_limits import alone
from app.memory import MIB, held_mb
from app.ways import Way
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.health import Health
    from app.worker_status import WorkerStatus

blueprint = Blueprint("health", __name__)

_REDIS_NAMES = ("valkey-server", "redis-server")


@blueprint.get("/health")
def health() -> dict[str, Any]:
    """200 while this process lives. The details are for those who may send requests."""
    if not auth.is_trusted():
        return {"status": "ok"}
    services = current_services()
    found: dict[str, Any] = {
        "status": "ok",
        "offline": services.settings.offline,
        "now": clock.now(),
        "waiting": services.waiting.listener.waiting(),
    }
    rows: Sequence[WorkerStatus] = ()
    try:
        now = look(services.connection)
    except RedisError as error:
        found |= {"status": "degraded", "redis": {"reachable": False, "error": str(error)[:200]}}
    else:
        rows = now.workers
        found |= _of_redis(services, now)
    lease = services.settings.lease_seconds
    found["workers"] = [_row(row, lease) for row in rows]
    alive = [row for row in rows if row.is_alive(lease)]
    found["memory"] = _memory(services.settings.supervisor_pid, alive, found.get("redis", {}))
    free = disk.free_bytes(services.settings.data_dir)
    found["disk"] = {"free_mb": None if free is None else round(free / MIB)}
    return found


@blueprint.get("/health/ready")
def ready() -> Response:
    """200 when a worker can serve; else 503 with the reason as the error's code."""
    services = current_services()
    now = look(services.connection)
    error = unready(now, services.settings)
    if error is not None:
        raise error
    told = warnings(now) if auth.is_trusted() else []
    return jsonify({"status": "ready", **({"warnings": told} if told else {})})


def _of_redis(services: Services, now: Health) -> dict[str, Any]:
    error = unready(now, services.settings)
    hosts = hosts_of([row for row in now.workers if row.is_alive(services.settings.lease_seconds)], now.supervisors)
    is_sound = error is None and now.redis.is_persisting
    feeder = now.feeders[0] if now.feeders else None
    return {
        "status": "ok" if is_sound else "degraded",
        "ready": error is None,
        "reason": None if error is None else error.message,
        "warnings": warnings(now),
        "queue": {
            "queued": now.queued,
            "in_progress": now.in_progress,
            "oldest_queued_seconds": round(now.oldest_queued_seconds, 1),
            "max_queued": services.settings.max_queued,
        },
        "gate": gate_object(now.closings, services.settings, sum(now.parked.values())),
        "ways": ways_object(way_status.read(services.connection, services.settings.ways)),
        "feeder": None
        if feeder is None
        else {"process": feeder.process, "beat_seconds_ago": round(feeder.beat_seconds_ago, 1)},
        "feeders": [asdict(one) for one in now.feeders],
        "parts": None if services.settings.step(Way.BATCHES) is None else totals(services.connection),
        "supervisors": [{**asdict(row), "beat_seconds_ago": _age(row.beat_at)} for row in now.supervisors],
        "hosts": [asdict(one) for one in hosts],
        "shared_logins": [{**asdict(one), "message": one.in_words} for one in shared_logins(hosts)],
        "login_limits": [
            {
                "login": one.label,
                "way": str(one.scope.way),
                "family": one.scope.family or None,
                **closed_object(one.closed),
            }
            for one in alone(now.login_limits, now.closings)
        ],
        "clocks_off": clocks_off(now),
        "callbacks": {"waiting": now.callbacks_waiting, "undelivered": now.callbacks_undelivered},
        "redis": {"reachable": True, **asdict(now.redis), "is_persisting": now.redis.is_persisting},
    }


def clocks_off(now: Health) -> dict[str, float]:
    """By host, how far a clock is ahead of Redis' (below 0: behind), where that is too far, seconds."""
    own = {socket.gethostname(): round(clock.skew() or 0.0, 3)}
    return {host: skew for host, skew in {**own, **now.skews}.items() if clock.is_off(skew)}


def _age(at: float) -> float:
    return round(max(0.0, clock.now() - at), 1)


def _row(row: WorkerStatus, lease_seconds: float) -> dict[str, Any]:
    now, is_alive = clock.now(), row.is_alive(lease_seconds)
    return {
        **asdict(row),
        "state": row.state if is_alive else WorkerState.GONE,
        "job_seconds": round(max(0.0, now - row.job_started_at), 1) if row.job else None,
        "alive": is_alive,
        "beat_seconds_ago": round(max(0.0, now - row.beat_at), 1),
    }


def _memory(supervisor_pid: int | None, rows: list[WorkerStatus], redis: dict[str, Any]) -> dict[str, Any]:
    """MiB of everything. Parts that run in other trees (or on other machines) count as they report themselves."""
    processes = _tree(supervisor_pid)
    parts = _memory_by_part(processes)
    # Without a supervisor the tree is this process' own, and holds no worker. (In containers pids repeat.)
    supervised = {process.pid for process in processes} if supervisor_pid is not None else set()
    for row in rows:
        if row.pid not in supervised:
            parts["claude"] = round(parts["claude"] + row.rss_mb, 1)
            parts["python"] = round(parts["python"] + row.python_rss_mb, 1)
    if not parts["redis"]:
        parts["redis"] = float(redis.get("rss_mb", 0.0))
    return {
        "rss_mb": round(sum(parts.values()), 1),
        **{f"{part}_mb": size for part, size in parts.items()},
        "processes": len(processes),
    }


def _tree(supervisor_pid: int | None) -> list[psutil.Process]:
    """The supervisor's processes; this process' own when there is no supervisor (any more)."""
    for pid in (supervisor_pid, None):
        try:
            root = psutil.Process(pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
    return []


def _memory_by_part(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """MiB by part: `claude`, `redis`, and `python` for all else. A process that ends meanwhile counts nothing."""
    parts = {"python": 0.0, "claude": 0.0, "redis": 0.0}
    for part, held in _held(processes):
        parts[part] += held
    return {part: round(size, 1) for part, size in parts.items()}


def _held(processes: Iterable[psutil.Process]) -> Iterator[tuple[str, float]]:
    """What is forked counts what it shares once among all; of the others the resident memory is what limits go by."""
    for process in processes:
        try:
            name = process.name().lower()
            part = "redis" if name.startswith(_REDIS_NAMES) else "claude" if name.startswith("claude") else "python"
            yield part, held_mb(process) if part == "python" else process.memory_info().rss / MIB
        except psutil.Error:
            continue
