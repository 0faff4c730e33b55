"""Redis: that it is there, new enough, keeps what it is given and forgets nothing; and its clock."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from app import clock, health, supervisors
from app.batches.record import ACTIVE
from app.connection import RedisError, connect
from ops.doctor.finding import Finding, fail, ok, warn
from ops.supervisor import aof, redis_server
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from app.settings import Settings
    from app.supervisors import SupervisorStatus

_MIB = 1024**2
#: clocks that are further apart are somebody's mistake, seconds
_FAR_APART = 5.0
_SET_CLOCKS = "Have all machines set their clocks by NTP (timedatectl set-ntp true)."
#: how long a file that had to be cut is reported, seconds
_REPORTED_SECONDS = 8 * 86400
#: share of `maxmemory` from which on it is nearly full
_NEARLY_FULL = 0.8


def look(settings: Settings) -> Iterator[Finding]:
    """Of the server that REDIS_URL names, or of the embedded one, if it runs."""
    if settings.redis_url is None:
        yield from _embedded(settings)
        return
    try:
        redis_server.check_external(settings.redis_url)
    except StackError as error:
        yield fail(
            "Redis", str(error), "Start it, or mend REDIS_URL; without REDIS_URL `nightshift up` brings its own."
        )
        return
    with connect(settings.redis_url) as client:
        yield from _asked(client, "of REDIS_URL", is_own=True)


def _embedded(settings: Settings) -> Iterator[Finding]:
    try:
        binary = redis_server.find_binary()
    except StackError as error:
        yield fail("Redis", "there is none for this machine", str(error))
        return
    directory = settings.data_dir / "redis"
    # By this machine's clock, as the disk's times are.
    since = time.time() - _REPORTED_SECONDS  # noqa: TID251
    for report in aof.reports(directory, since):
        yield warn(
            "Redis' file", report.read_text().strip(), f"Nothing more is to be done. Delete {report} to be quiet of it."
        )
    server = redis_server.place(settings.data_dir) if directory.is_dir() else None
    if server is None or not server.ready():
        yield ok("Redis", f"{binary} is started by `nightshift up`; it does not run now")
        return
    with connect(server.url) as client:
        yield from _asked(client, "embedded", is_own=False)


def _asked(client: Redis, which: str, *, is_own: bool) -> Iterator[Finding]:
    try:
        before = time.time()  # noqa: TID251 - this machine's clock is looked at
        seconds, micros = client.time()
        after = time.time()  # noqa: TID251 - the same
        info = client.info()
        rows = supervisors.read_all(client)
    except RedisError as error:
        yield fail("Redis", f"{which}, does not answer as it should: {error}", "Look into its log.")
        return
    version = info.get("valkey_version") or info["redis_version"]
    yield ok(
        "Redis", f"{which}, {info.get('server_name', 'redis')} {version}, {info['used_memory'] / _MIB:.0f} MiB used"
    )
    yield _eviction(info)
    yield _persistence(info, is_own=is_own)
    yield _clock(seconds + micros / 1e6, before, after)
    yield from _other_clocks(rows)
    yield from _batches(client)


def _batches(client: Redis) -> Iterator[Finding]:
    waiting = client.zcard(ACTIVE)
    if waiting and not health.look(client).feeders:
        yield warn(
            "Batches",
            f"{waiting:,} of them have not ended, and nobody does their work",
            "Start `nightshift up`, or `nightshift api` or `worker` in containers: each does it, too.",
        )


def _eviction(info: dict[str, Any]) -> Finding:
    policy, limit = info.get("maxmemory_policy", "noeviction"), int(info.get("maxmemory", 0))
    if limit and policy != "noeviction":
        return fail(
            "Redis' memory",
            f"maxmemory-policy is {policy}: when it is full, requests vanish",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration.",
        )
    if policy != "noeviction":
        return warn(
            "Redis' memory",
            f"maxmemory-policy is {policy}, harmless only while maxmemory is 0",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration.",
        )
    if limit and info["used_memory"] > _NEARLY_FULL * limit:
        return warn(
            "Redis' memory",
            f"{info['used_memory'] / limit:.0%} of its maxmemory are used; full, it refuses new requests with 503",
            "Give it more (maxmemory), keep results for less long (NIGHTSHIFT_RESULT_TTL_SECONDS), or send batches.",
        )
    return ok("Redis' memory", f"nothing is evicted; {f'limit {limit / _MIB:.0f} MiB' if limit else 'no limit'}")


def _persistence(info: dict[str, Any], *, is_own: bool) -> Finding:
    broken = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok"
    ]
    if broken:
        return fail(
            "Redis' disk",
            f"{', '.join(broken)}: {info[broken[0]]}",
            "Look for a full disk or missing rights; its log says which.",
        )
    if not info.get("aof_enabled"):
        return warn(
            "Redis' disk",
            "appendonly is off: what was accepted since the last snapshot is lost when it ends",
            "redis-cli CONFIG SET appendonly yes, and in its configuration appendonly yes, appendfsync always.",
        )
    return ok("Redis' disk", f"appendonly{'' if is_own else ', synced each second'}; the last write went well")


def _clock(theirs: float, before: float, after: float) -> Finding:
    apart = max(before - theirs, theirs - after, 0.0)
    text = f"{apart:.1f} s from Redis'" if apart >= 0.1 else "as Redis'"
    if not clock.is_off(apart):
        return ok("Clock", text)
    text += ": this machine leaves the maintenance to others, if there are any"
    return (fail if apart > _FAR_APART else warn)("Clock", text, _SET_CLOCKS)


def _other_clocks(rows: list[SupervisorStatus]) -> Iterator[Finding]:
    for row in rows:
        if row.is_off and row.host != socket.gethostname():
            text = f"that of {row.host} is {clock.words(row.clock_skew_seconds)}"
            yield warn("Other clocks", text, _SET_CLOCKS)
