"""`/health`: what there is and how it does. `/health/ready`: whether a request that comes now would be answered."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from api import auth, gate_object, memory
from api.services import Services, services
from app import errors, worker_status
from app.connection import RedisError
from app.gate import Cause, Closed, Gate

if TYPE_CHECKING:
    from app.worker_status import WorkerStatus

blueprint = Blueprint("health", __name__)

#: advice to whoever asks for readiness, seconds
READY_RETRY_SECONDS = 2.0


@blueprint.get("/health")
def health() -> dict[str, Any]:
    """200 while this process lives. The details are for those who may send requests."""
    if not auth.is_trusted():
        return {"status": "ok"}
    here = services()
    found: dict[str, Any] = {
        "status": "ok",
        "offline": here.settings.offline,
        "waiting": here.waiting.listener.waiting(),
    }
    rows: list[WorkerStatus] = []
    try:
        rows = worker_status.read_all(here.connection)
        found |= _queue(here)
        if _unready(here, rows, Gate(here.connection).read()) is not None:
            found["status"] = "degraded"
    except RedisError as error:
        found |= {"status": "degraded", "redis": {"reachable": False, "error": str(error)[:200]}}
    lease = here.settings.lease_seconds
    found["workers"] = [_row(row, lease) for row in rows]
    alive = [row for row in rows if row.is_alive(lease)]
    found["memory"] = _memory(here.settings.supervisor_pid, alive, found.get("redis", {}))
    return found


@blueprint.get("/health/ready")
def ready() -> Response:
    """200 when a worker can serve; else 503 with the reason as the error's code."""
    here = services()
    rows = worker_status.read_all(here.connection)
    error = _unready(here, rows, Gate(here.connection).read())
    if error is not None:
        raise error
    return jsonify({"status": "ready"})


def _unready(here: Services, rows: list[WorkerStatus], closed: Closed | None) -> errors.ErrorReply | None:
    alive = [row for row in rows if row.is_alive(here.settings.lease_seconds)]
    # Past its time the next request is the probe that tells whether the login works again.
    if closed is not None and closed.cause is Cause.LOGIN and not closed.may_be_probed:
        return _not_ready(
            "Claude's login does not work: the workers wait for a working one.", "login_required"
        )
    if any(row.state.is_serving for row in alive):
        return None
    if not alive:
        return _not_ready("No worker is running.", "no_worker")
    states = ", ".join(sorted({str(row.state) for row in alive}))
    return _not_ready(f"No worker can serve: {states}.", "no_worker_ready")


def _not_ready(message: str, code: str) -> errors.ErrorReply:
    return errors.unavailable(message, code, READY_RETRY_SECONDS)


def _queue(here: Services) -> dict[str, Any]:
    closed = Gate(here.connection).read()
    info = here.connection.info()
    return {
        "queue": {
            "queued": here.jobs.queued(),
            "in_progress": here.jobs.in_progress(),
            "oldest_queued_seconds": round(here.jobs.oldest_queued_seconds(), 1),
            "max_queued": here.settings.max_queued,
        },
        "gate": gate_object.of(closed),
        "redis": {
            "reachable": True,
            "version": info.get("valkey_version") or info.get("redis_version"),
            "used_memory_mb": round(int(info["used_memory"]) / (1024 * 1024), 1),
            "rss_mb": round(int(info["used_memory_rss"]) / (1024 * 1024), 1),
        },
    }


def _row(row: WorkerStatus, lease_seconds: float) -> dict[str, Any]:
    return {
        **asdict(row),
        "alive": row.is_alive(lease_seconds),
        "beat_seconds_ago": round(max(0.0, time.time() - row.beat_at), 1),
    }


def _memory(supervisor_pid: int | None, rows: list[WorkerStatus], redis: dict[str, Any]) -> dict[str, Any]:
    """MiB of everything. Parts that run in other trees (or on other machines) count as they report themselves."""
    processes = memory.tree(supervisor_pid)
    parts = memory.measure(processes)
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
