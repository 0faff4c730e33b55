"""The processes that run the maintenance: each says each second that it lives, where its files are, and how right its clock is.

Any number of them may; every step of theirs is fenced. One whose own clock is off leaves it to the others while there are any.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from app import clock, hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from app.settings import Settings

_NAMES = "nightshift:supervisors"
#: a supervisor that has not reported for this long has ended, seconds
KEEP_SECONDS = 10


class Part(StrEnum):
    """The commands that supervise."""

    UP = "up"
    API = "api"
    WORKER = "worker"
    CALLBACKS = "callbacks"


@dataclass(frozen=True, kw_only=True)
class SupervisorStatus:
    """One of them. Times are seconds since the epoch."""

    #: `HOST:PID`
    name: str
    #: a `Part`, or what only newer code knows
    part: str
    host: str
    data_dir: str
    #: of the code that it runs; empty: older code
    version: str = ""
    #: how far its machine's clock is ahead of Redis' (below 0: behind), as far as it is known for sure
    clock_skew_seconds: float = 0.0
    #: why it leaves the maintenance to others; empty: it does not
    rests: str = ""
    #: of the secrets that its callbacks are signed with, comma-separated digests; empty: it sends none
    secrets: str = ""
    beat_at: float = 0.0

    @property
    def is_off(self) -> bool:
        """Whether its clock is."""
        return clock.is_off(self.clock_skew_seconds)


def of_this_process(settings: Settings, part: Part) -> SupervisorStatus:
    """Its row as it begins."""
    host = socket.gethostname()
    sends = part in (Part.UP, Part.CALLBACKS)
    return SupervisorStatus(
        name=f"{host}:{os.getpid()}",
        part=part,
        host=host,
        data_dir=os.path.abspath(settings.data_dir),  # noqa: PTH100 - resolve() would follow the user's symlinks
        version=version("claude-nightshift"),
        secrets=digests(settings.webhook_secret or "") if sends else "",
    )


def announce(connection: Redis, status: SupervisorStatus) -> SupervisorStatus:
    """Say that it lives and what its clock shows, and whether it rests. The row as it is now."""
    skew = round(clock.skew() or 0.0, 3)
    others = [other for other in read_all(connection) if other.name != status.name]
    now = replace(status, clock_skew_seconds=skew, beat_at=clock.now())
    # With the only one at rest nothing would be brought back; and every deadline is by Redis' clock, not by this one.
    if now.is_off and any(not other.is_off for other in others):
        now = replace(now, rests=f"its clock is {clock.words(skew)}")
    else:
        now = replace(now, rests="")
    pipe = connection.pipeline()
    pipe.hset(_key(now.name), mapping=hashes.to_hash(now))
    pipe.expire(_key(now.name), KEEP_SECONDS)
    pipe.sadd(_NAMES, now.name)
    pipe.expire(_NAMES, KEEP_SECONDS)
    pipe.execute()
    return now


def read_all(connection: Redis) -> list[SupervisorStatus]:
    """All that live, by name. Names of others are forgotten."""
    return hashes.read_listed(connection, SupervisorStatus, _NAMES, _key)


def digests(secrets: str) -> str:
    """Digests of secrets: they may be shown, and show whether two processes share one."""
    return ",".join(hashlib.sha256(secret.encode()).hexdigest()[:12] for secret in secrets.replace(",", " ").split())


def in_common(mine: str, theirs: str) -> bool:
    """Whether two such lists have a secret in common."""
    return bool(set(mine.split(",")) & set(theirs.split(",")))


def others_of(rows: Sequence[SupervisorStatus], mine: SupervisorStatus) -> list[SupervisorStatus]:
    """Those that are not this data dir's on this machine: a predecessor that was killed is there for some seconds."""
    return [row for row in rows if (row.host, row.data_dir) != (mine.host, mine.data_dir)]


def _key(name: str) -> str:
    return f"nightshift:supervisor:{name}"
