"""Which process does the work of the batches in a storage: one at a time, another within seconds when it dies.

A lease in Redis decides who; each change of a batch is made only while the lease is held (WATCH). Files know no WATCH:
a lock on the storage keeps a process that slept through its lease from writing into what its successor writes. Each storage
has a leader of its own.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app.batches import place
from app.batches.record import BatchRecord, batch_key
from app.connection import transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from app.batches.storage import Lock, Storage

_T = TypeVar("_T")

#: another process takes over when this one has not renewed its lease for so long, seconds
LEASE_SECONDS = 5.0


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


def lease_key(place_name: str) -> str:
    """The lease on the work in a storage; its value is who has it."""
    return f"nightshift:batches:feeder:{place_name}"


def leaders(connection: Redis) -> list[Leader]:
    """Those that work now."""
    names = list(place.known_places(connection))
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
    """This process's claim to the work in its storage. Used by one thread."""

    def __init__(self, connection: Redis, storage: Storage) -> None:
        self._connection = connection
        self._storage = storage
        self._token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._lock: Lock | None = None
        #: the storage's name, and the names that it had before its files were lost
        self.place = ""
        self.lost: list[str] = []
        self._is_registered = False

    def hold(self) -> bool:
        """Become or remain the one who does it, for `LEASE_SECONDS` from now. False: another one is."""
        if (here := self._storage.identity()) != self.place:
            self.close()
            self.place = here
        milliseconds = int(LEASE_SECONDS * 1000)
        lease = lease_key(here)
        is_new = bool(self._connection.set(lease, self._token, nx=True, px=milliseconds))
        if not is_new and self._connection.get(lease) != self._token.encode():
            self.close()
            return False
        if is_new or not self._is_registered:
            # A SET that is sent again, since its reply was lost, says no.
            self.lost = place.register(self._connection, self._storage, here)
            self._is_registered = True
        self._connection.pexpire(lease, milliseconds)
        self._lock = self._lock or self._storage.lock()
        return self._lock is not None

    def change(self, batch_id: str, work: Callable[[Any, BatchRecord], _T]) -> _T:
        """Run `work(pipe, record)`, which calls `pipe.multi()` and writes, in one step. Raises `NotLeader`."""
        return self._change(batch_id, self.place, self._token, work)

    def change_unled(self, batch_id: str, where: str, work: Callable[[Any, BatchRecord], _T]) -> _T:
        """The same for a batch whose files are in another storage, `where`, in which nobody works. Raises `NotLeader`."""
        return self._change(batch_id, where, None, work)

    def _change(self, batch_id: str, where: str, holder: str | None, work: Callable[[Any, BatchRecord], _T]) -> _T:
        def watched(pipe: Any) -> _T:
            pipe.watch(lease_key(where))
            record = BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))
            if pipe.get(lease_key(where)) != (None if holder is None else holder.encode()) or record is None:
                raise NotLeader(f"{batch_id} is no longer this process's")
            return work(pipe, record)

        return transaction(self._connection, batch_key(batch_id), watched)

    def close(self) -> None:
        """Let go of the files."""
        self._is_registered = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None
