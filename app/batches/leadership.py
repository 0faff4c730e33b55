"""Which storage has a batch's files, and which process does the work of the batches there.

Each storage has a name of its own, and batches and files remember theirs. A process that does not share the storage leaves
them to those that do.

Each storage has one leader. A lease in Redis decides which process it is, and each change of a batch is made only while the
lease is held (WATCH). On a disk a file lock stops a leader that slept through its lease from writing to files that its
successor writes to; in an object store, conditional writes and a look at the lease before each (`storage.object_store`). If the
leader dies, another takes over within five seconds.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from app.batches.record import Hold
from app.batches.storage import Location
from app.batches.waits import WAITS
from app.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from app.batches.record import BatchRecord
    from app.batches.storage import Storage


#: a hash: of each storage in which batches were done, by its name, where it is, as JSON
STORAGES = "nightshift:batches:places"
#: where older code noted the one directory that there was
_ONLY = "nightshift:batches:place"

#: another process takes over when the lease has not been renewed for this long, seconds
LEASE_SECONDS = 5.0
#: how often it is renewed while a round goes on, seconds, and how often at most: then a request that never ends is given up
_BEAT_SECONDS, _MOST_BEATS = 1.0, 120


def storage_of(connection: Redis, place: str) -> str:
    """The name that a record has, or what stands for it in one that older code wrote; empty: nobody knows."""
    if place:
        return place
    found: Any = connection.get(_ONLY)
    return "" if found is None else str(found.decode())


def is_at(connection: Redis, place: str, here: str) -> bool:
    """Whether a record's files are in the storage of that name. One that nobody knows of is taken for this one."""
    return (storage_of(connection, place) or here) == here


def register(connection: Redis, storage: Storage, here: str) -> list[str]:
    """This process works in that storage. The names that it had before, whose files are lost: it was deleted and made anew."""
    location = storage.location()
    connection.hset(STORAGES, here, json.dumps(asdict(location)))
    return [other for other, known in known_storages(connection).items() if other != here and known == location]


def known_storages(connection: Redis) -> dict[str, Location]:
    """All storages by name, those that are lost and those that nobody works in now included."""
    found: Any = connection.hgetall(STORAGES)
    return {key.decode(): Location(**json.loads(value)) for key, value in found.items()}


def whereabouts(connection: Redis, name: str) -> str:
    """The storage of that name for people: the directory, and on which machine."""
    found = known_storages(connection).get(name)
    if found is None:
        return "in a data dir"
    return f"in {found.path} on {found.host}" if found.host else f"in {found.path}"


class NotLeader(Exception):
    """Another process does the work by now, or the batch is gone: nothing was changed."""


@dataclass(frozen=True)
class Leader:
    """The process that does the work of the batches in a storage."""

    #: the storage's name
    place: str
    #: host and pid, `HOST:PID`
    process: str
    beat_seconds_ago: float


class Role(StrEnum):
    """What one process does for all the batches in a storage."""

    #: what takes Redis and the storage alone: `app.batches.feeder`
    FEEDER = "feeder"
    #: asks Anthropic about parts: `workers.lane`
    LANE = "lane"


def lease_key(place_name: str, role: Role = Role.FEEDER) -> str:
    """The lease on the work in a storage; its value is who has it."""
    return f"nightshift:batches:{role}:{place_name}"


def has_lane(connection: Redis, place_name: str) -> bool:
    """Whether a lane works in that storage."""
    return bool(connection.exists(lease_key(place_name, Role.LANE)))


def leaders(connection: Redis) -> list[Leader]:
    """Those that work now."""
    names = list(known_storages(connection))
    pipe = connection.pipeline(transaction=False)
    for one in names:
        pipe.get(lease_key(one))
        pipe.pttl(lease_key(one))
    replies = pipe.execute()
    return [
        Leader(one, holder.decode().rpartition(":")[0], max(0.0, LEASE_SECONDS - holds_ms / 1000))
        for one, holder, holds_ms in zip(names, replies[::2], replies[1::2], strict=True)
        if holder is not None
    ]


class Leadership:
    """This process's claim to the work in its storage. Used by one thread; the others may `watch`."""

    def __init__(self, connection: Redis, storage: Storage, role: Role = Role.FEEDER) -> None:
        self._connection = connection
        self._storage = storage
        self._role = role
        self._token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._lock: IO[bytes] | None = None
        #: the storage's name, and the names that it had before its files were lost
        self.place = ""
        self.lost: list[str] = []
        self._is_registered = False
        self.guard(storage)

    def guard(self, storage: Storage) -> None:
        """Writes to it ask whether the lease is still held, where a lock is not enough."""
        storage.guard(self.is_held)

    def is_held(self) -> bool:
        """Whether the lease is this process's, for `LEASE_SECONDS` from now. For any thread."""
        lease = lease_key(self.place, self._role)
        if self._connection.get(lease) != self._token.encode():
            return False
        self._connection.pexpire(lease, int(LEASE_SECONDS * 1000))
        return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease meanwhile, from another thread: requests to a storage that is far away may take seconds."""
        done = threading.Event()
        if not self._storage.gather_seconds:
            yield
            return
        thread = threading.Thread(target=self._keep, args=(done,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _keep(self, done: threading.Event) -> None:
        for _ in range(_MOST_BEATS):
            if done.wait(_BEAT_SECONDS):
                return
            # A lease that is lost is found out by the next step.
            with suppress(*AWAY):
                self.is_held()

    def hold(self) -> bool:
        """Become or remain the one who does it, for `LEASE_SECONDS` from now. False: another one is."""
        if (here := self._storage.identity()) != self.place:
            self.close()
            self.place = here
        milliseconds = int(LEASE_SECONDS * 1000)
        lease = lease_key(here, self._role)
        is_new = bool(self._connection.set(lease, self._token, nx=True, px=milliseconds))
        if not is_new and self._connection.get(lease) != self._token.encode():
            self.close()
            return False
        if is_new:
            # Another one may have been it since this one was: what was read before is the other's by now.
            self.close()
        if not self._is_registered:
            # A SET that is sent again, since its reply was lost, says no.
            self.lost = register(self._connection, self._storage, here)
            self._is_registered = True
        self._connection.pexpire(lease, milliseconds)
        self._lock = self._lock or self._storage.lock(self._role)
        return self._lock is not None

    def watch(self, pipe: Any, where: str) -> bool:
        """Whether this process works in the storage `where`, or nobody does in one that is not its own. Watched from here on."""
        lease = lease_key(where, self._role)
        pipe.watch(lease)
        return bool(pipe.get(lease) == (self._token.encode() if where == self.place else None))

    def close(self) -> None:
        """Let go of the files."""
        self._is_registered = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None


@dataclass(frozen=True)
class Stalled:
    """Why, as a code and for people."""

    code: Hold
    reason: str


def stalled(connection: Redis, record: BatchRecord) -> Stalled | None:
    """Why a batch can't go on, whatever becomes of the gate and its window. None: it is being worked on, or has ended."""
    if record.status.is_final:
        return None
    if record.stuck:
        return Stalled(Hold.FILES_UNUSABLE, record.stuck)
    led = leaders(connection)
    if not led:
        why = WAITS[Hold.NO_FEEDER]
        return Stalled(Hold.NO_FEEDER, f"{why.clause.capitalize()}. {why.advice}")
    where = storage_of(connection, record.place)
    if not where or any(leader.place == where for leader in led):
        return None
    at = whereabouts(connection, where)
    return Stalled(Hold.FILES_ELSEWHERE, f"Its files are {at}, where no Nightshift runs now; others don't have them.")
