"""How the whole does at this moment, as Redis knows it, and whether a request that comes now would be answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import clock, errors, gate, login_limits, supervisors, worker_status
from app.batches.leadership import Leader, leaders
from app.error_codes import ErrorCode
from app.gate import Cause, Closings
from app.jobs.record import Status, status_key
from app.scopes import LOTS, Scope
from app.webhooks import outbox
from app.worker_status import WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.errors import ErrorReply
    from app.login_limits import Limits
    from app.scopes import Lot
    from app.settings import Settings
    from app.supervisors import SupervisorStatus
    from app.worker_status import WorkerStatus

_MIB = 1024 * 1024
#: advice to whoever asks whether a worker can serve, seconds
READY_RETRY_SECONDS = 2.0
#: what a worker will not get out of by itself, or nobody knows when
_STUCK = frozenset({WorkerState.UNAVAILABLE, WorkerState.WAITING_FOR_LOGIN})


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
        """Whether what it should keep on the disk is there."""
        appended = self.aof_last_write_status == self.aof_last_rewrite_status == "ok"
        return self.rdb_last_save_status == "ok" and (appended or not self.aof_enabled)


@dataclass(frozen=True, slots=True)
class Health:
    """One look at everything."""

    workers: list[WorkerStatus]
    queued: int
    in_progress: int
    #: the age of the job that waits longest; 0 when none waits
    oldest_queued_seconds: float
    #: what closes the gate now
    closings: Closings
    #: how many jobs are parked, by what they wait for
    parked: Mapping[Lot, int]
    callbacks_waiting: int
    callbacks_undelivered: int
    #: who does the batches' work, one for each directory; none: no line of a batch is begun
    feeders: tuple[Leader, ...]
    #: the processes that run the maintenance
    supervisors: tuple[SupervisorStatus, ...]
    redis: Server
    #: by a login's label, the usage limits that it alone has met
    login_limits: Limits = field(default_factory=dict)

    @property
    def skews(self) -> dict[str, float]:
        """By host, how far its clock is ahead of Redis' (below 0: behind), seconds."""
        return {row.host: row.clock_skew_seconds for row in self.supervisors}


def look(connection: Redis) -> Health:
    """Raises redis-py's errors when Redis is away."""
    pipe = connection.pipeline(transaction=False)
    pipe.zcard(status_key(Status.QUEUED))
    pipe.zcard(status_key(Status.IN_PROGRESS))
    pipe.zrange(status_key(Status.QUEUED), 0, 0, withscores=True)
    pipe.zcard(outbox.DUE)
    pipe.zcard(outbox.UNDELIVERED)
    pipe.info()
    pipe.hgetall(gate.LOGIN_LIMITS)
    for lot in LOTS:
        pipe.zcard(lot.key)
    for key in gate.state_keys():
        pipe.hgetall(key)
    queued, in_progress, oldest, waiting, undelivered, info, limits, *more = pipe.execute()
    now = clock.now()
    return Health(
        workers=worker_status.read_all(connection),
        queued=queued,
        in_progress=in_progress,
        oldest_queued_seconds=max(0.0, now - oldest[0][1]) if oldest else 0.0,
        closings=gate.closings_of(more[len(LOTS) :]),
        parked={lot: number for lot, number in zip(LOTS, more, strict=False) if number},
        callbacks_waiting=waiting,
        callbacks_undelivered=undelivered,
        feeders=tuple(leaders(connection)),
        supervisors=tuple(supervisors.read_all(connection)),
        redis=_server(info),
        login_limits=login_limits.limits_of(limits, now),
    )


def unready(health: Health, settings: Settings) -> ErrorReply | None:
    """None while a worker can serve, else the error that says why none can."""
    alive = [row for row in health.workers if row.is_alive(settings.lease_seconds)]
    are_starting = all(row.state is WorkerState.STARTING for row in alive)
    found = [health.closings.scopes.get(Scope(way)) for way in settings.worker_ways]
    refused = [closed for closed in found if closed is not None and closed.cause is Cause.LOGIN]
    # Workers that start may have another login.
    if len(refused) == len(found) and not are_starting:
        return errors.login_required("; ".join(dict.fromkeys(closed.reason for closed in refused)))
    if any(row.state.is_serving for row in alive):
        return None
    return nobody_serves(alive) or _not_ready(f"No worker can serve: {_states(alive)}.", ErrorCode.NO_WORKER_READY)


def nobody_serves(alive: Sequence[WorkerStatus]) -> ErrorReply | None:
    """Why no request will be served for all that is known, whatever the gate says; None while a worker serves or may do so soon."""
    if not alive:
        said = "No worker is running. Start one: 'nightshift up', or 'nightshift worker' beside this API."
        return _not_ready(said, ErrorCode.NO_WORKER)
    if any(row.state not in _STUCK for row in alive):
        return None
    if all(row.state is WorkerState.WAITING_FOR_LOGIN for row in alive):
        return errors.login_required("no worker's is taken")
    reasons = "; ".join(sorted({row.reason for row in alive if row.state is WorkerState.UNAVAILABLE and row.reason}))
    said = f"No worker can serve: {_states(alive)}{f' ({reasons})' if reasons else ''}."
    return _not_ready(said, ErrorCode.NO_WORKER_READY)


def _states(rows: Sequence[WorkerStatus]) -> str:
    return ", ".join(sorted({str(row.state) for row in rows}))


def warnings(health: Health) -> list[str]:
    """What will not be done though requests are answered, for people."""
    found = []
    if not health.feeders:
        found.append(
            "Nobody does the batches' work: start `nightshift up`, or `nightshift api` or `worker` in containers."
        )
    off = {host: skew for host, skew in health.skews.items() if clock.is_off(skew)}
    return [*found, *(f"The clock of {host} is {clock.words(skew)}: have it set by NTP." for host, skew in off.items())]


def _not_ready(message: str, code: ErrorCode) -> ErrorReply:
    return errors.unavailable(message, code, READY_RETRY_SECONDS)


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
