"""How the whole does at this moment, as Redis knows it: for `/health`, `/metrics` and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import clock, supervisors, worker_status
from app.batches.leadership import Leader, leaders
from app.gate import GATE, PAUSE, Closed, read_from
from app.jobs.record import Status, status_key
from app.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from app.supervisors import SupervisorStatus
    from app.worker_status import WorkerStatus

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """Redis itself. Memory in MiB."""

    version: str
    used_memory_mb: float
    rss_mb: float
    #: 0: no limit
    max_memory_mb: float
    #: whether each write is appended to a file
    aof_enabled: bool
    #: `ok`, or not, of the last append and of the last rewrite of that file
    aof_last_write_status: str
    aof_last_rewrite_status: str
    #: the same of the last snapshot; when it was made, and how many changes there were since
    rdb_last_save_status: str
    rdb_last_save_at: float
    rdb_changes_since_save: int

    @property
    def is_persisting(self) -> bool:
        """Whether what it was told to keep on the disk is there."""
        appended = self.aof_last_write_status == self.aof_last_rewrite_status == "ok"
        return self.rdb_last_save_status == "ok" and (appended or not self.aof_enabled)


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at everything."""

    workers: list[WorkerStatus]
    queued: int
    in_progress: int
    #: the age of the job that waits longest; 0 when none waits
    oldest_queued_seconds: float
    #: what closes the gate now; a pause first, and more than one when it stands beside another cause
    closed: tuple[Closed, ...]
    callbacks_waiting: int
    callbacks_undelivered: int
    #: who does the batches' work, one for each directory; none: no line of a batch is begun
    feeders: tuple[Leader, ...]
    #: the processes that run the maintenance
    supervisors: tuple[SupervisorStatus, ...]
    redis: Server

    @property
    def gate(self) -> Closed | None:
        """What closes it, as `Gate.read` says; None while it is open."""
        return self.closed[0] if self.closed else None

    @property
    def skews(self) -> dict[str, float]:
        """By host, how far its clock is ahead of Redis' (below 0: behind), seconds."""
        return {row.host: row.clock_skew_seconds for row in self.supervisors}


def look(connection: Redis) -> Vitals:
    """Raises redis-py's errors when Redis is away."""
    pipe = connection.pipeline(transaction=False)
    pipe.zcard(status_key(Status.QUEUED))
    pipe.zcard(status_key(Status.IN_PROGRESS))
    pipe.zrange(status_key(Status.QUEUED), 0, 0, withscores=True)
    pipe.hgetall(PAUSE)
    pipe.hgetall(GATE)
    pipe.zcard(outbox.DUE)
    pipe.zcard(outbox.UNDELIVERED)
    pipe.info()
    queued, in_progress, oldest, pause, gate, waiting, undelivered, info = pipe.execute()
    now = clock.now()
    closed = [found for found in (read_from(pause), read_from(gate)) if found is not None and found.lasts_at(now)]
    return Vitals(
        workers=worker_status.read_all(connection),
        queued=queued,
        in_progress=in_progress,
        oldest_queued_seconds=max(0.0, now - oldest[0][1]) if oldest else 0.0,
        closed=tuple(closed),
        callbacks_waiting=waiting,
        callbacks_undelivered=undelivered,
        feeders=tuple(leaders(connection)),
        supervisors=tuple(supervisors.read_all(connection)),
        redis=_server(info),
    )


def _server(info: Mapping[str, Any]) -> Server:
    return Server(
        version=str(info.get("valkey_version") or info.get("redis_version")),
        used_memory_mb=round(int(info["used_memory"]) / _MIB, 1),
        rss_mb=round(int(info["used_memory_rss"]) / _MIB, 1),
        max_memory_mb=round(int(info.get("maxmemory", 0)) / _MIB, 1),
        aof_enabled=bool(info.get("aof_enabled")),
        aof_last_write_status=str(info.get("aof_last_write_status", "ok")),
        aof_last_rewrite_status=str(info.get("aof_last_bgrewrite_status", "ok")),
        rdb_last_save_status=str(info.get("rdb_last_bgsave_status", "ok")),
        rdb_last_save_at=float(info.get("rdb_last_save_time", 0)),
        rdb_changes_since_save=int(info.get("rdb_changes_since_last_save", 0)),
    )
