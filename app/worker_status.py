"""What each worker says of itself, for `/health`: a hash per worker that expires when the worker falls silent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from app import clock, hashes

if TYPE_CHECKING:
    from redis import Redis

WORKERS = "nightshift:workers"
#: how long a silent worker is still shown, seconds
KEEP_SECONDS = 60
_NAME = re.compile(r"(.+)-\d+-(worker-\d+)-[0-9a-f]{6}")


class WorkerState(StrEnum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    RECYCLING = "recycling"
    LIMITED = "limited"
    WAITING_FOR_LOGIN = "waiting_for_login"
    PAUSED = "paused"
    UNAVAILABLE = "unavailable"
    #: what it is taken for when it has fallen silent; never written
    GONE = "gone"

    @property
    def is_serving(self) -> bool:
        """Whether a request that comes now would be answered by this worker, sooner or later."""
        return self in (WorkerState.IDLE, WorkerState.BUSY, WorkerState.RECYCLING)


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """One worker. Times are seconds since the epoch, memory is resident, in MiB."""

    name: str
    state: WorkerState
    #: why it is in this state, for people
    reason: str = ""
    #: the job that it runs, empty when none
    job: str = ""
    job_started_at: float = 0.0
    #: requests that the present Claude process has answered
    turns: int = 0
    #: requests that all processes of this worker have answered
    turns_total: int = 0
    #: how often the Claude process was replaced, by reason
    restarts: hashes.Counts = field(default_factory=dict)
    errors: int = 0
    #: all its Claude processes and their children
    rss_mb: float = 0.0
    #: the worker itself; of what it shares with others its part (`app.memory`)
    python_rss_mb: float = 0.0
    cli_version: str = ""
    #: which login is in use: its kind, never itself
    login: str = ""
    #: the same as a label (`app.login_label`), of the way that it goes now; empty: older code
    login_label: str = ""
    #: the same by way; empty: older code
    login_labels: hashes.Texts = field(default_factory=dict)
    #: the machine that it is on, and the version of the code that it runs; empty: older code
    host: str = ""
    version: str = ""
    #: which way it goes to Claude now, or went last (`app.ways`)
    way: str = ""
    #: those that it can use, comma-separated; empty: none yet, or older code
    ways: str = ""
    pid: int = 0
    started_at: float = 0.0
    #: how far its machine's clock is ahead of Redis' (below 0: behind), as far as it is known for sure
    clock_skew_seconds: float = 0.0
    beat_at: float = field(default_factory=clock.now)

    @property
    def machine(self) -> str:
        """The machine that it is on; older code has it in its name alone."""
        named = _NAME.fullmatch(self.name)
        return self.host or (named[1] if named else self.name)

    @property
    def place(self) -> str:
        """Its machine and its number there, which another process has after a restart: `HOST-worker-1`."""
        named = _NAME.fullmatch(self.name)
        return f"{named[1]}-{named[2]}" if named else self.name

    def serves(self, way: str) -> bool:
        """Whether it can use that way to Claude, as far as it has said; older code says nothing."""
        known = self.ways or self.way
        return not known or way in known.split(",")

    def is_alive(self, lease_seconds: float) -> bool:
        """Whether it has spoken recently."""
        return clock.now() - self.beat_at <= lease_seconds


def write(connection: Redis, status: WorkerStatus) -> None:
    """Store it, in one step."""
    pipe = connection.pipeline()
    pipe.hset(_key(status.name), mapping=hashes.to_hash(status))
    pipe.expire(_key(status.name), KEEP_SECONDS)
    pipe.sadd(WORKERS, status.name)
    pipe.execute()


def remove(connection: Redis, name: str) -> None:
    """The worker has ended in good order."""
    pipe = connection.pipeline()
    pipe.delete(_key(name))
    pipe.srem(WORKERS, name)
    pipe.execute()


def read_all(connection: Redis) -> list[WorkerStatus]:
    """All workers that have spoken in the last `KEEP_SECONDS`, by name. Names of others are forgotten."""
    return hashes.read_listed(connection, WorkerStatus, WORKERS, _key)


def _key(name: str) -> str:
    return f"nightshift:worker:{name}"
