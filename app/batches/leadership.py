"""Which of the processes does the batches' work: one at a time, another within seconds when it dies.

A lease in Redis decides who; each change of a batch is made only while the lease is held (WATCH). Files know no WATCH:
a lock on the disk keeps a process that slept through its lease from writing into what its successor writes. The kernel
releases it when its process ends, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from app.batches import place
from app.batches.record import BatchRecord, batch_key
from app.connection import transaction
from app.stack.data_dir import private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis import Redis

_T = TypeVar("_T")

LEASE = "nightshift:batches:feeder"
#: another process takes over when this one has not renewed its lease for so long, seconds
LEASE_SECONDS = 5.0


class NotLeader(Exception):
    """Another process does the work by now, or the batch is gone: nothing was changed."""


class Leadership:
    """This process's claim to the work. Used by one thread."""

    def __init__(self, connection: Redis, root: Path) -> None:
        self._connection = connection
        self._root = root
        self._token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._lock: int | None = None

    def hold(self) -> bool:
        """Become or remain the one who does it, for `LEASE_SECONDS` from now. False: another one is."""
        if not place.is_here(self._connection, self._root):
            self.close()
            return False
        milliseconds = int(LEASE_SECONDS * 1000)
        if not self._connection.set(LEASE, self._token, nx=True, px=milliseconds):
            if self._connection.get(LEASE) != self._token.encode():
                self.close()
                return False
            self._connection.pexpire(LEASE, milliseconds)
        return self._lock_files()

    def change(self, batch_id: str, work: Callable[[Any, BatchRecord], _T]) -> _T:
        """Run `work(pipe, record)`, which calls `pipe.multi()` and writes, in one step. Raises `NotLeader`."""

        def watched(pipe: Any) -> _T:
            pipe.watch(LEASE)
            record = BatchRecord.from_hash(pipe.hgetall(batch_key(batch_id)))
            if pipe.get(LEASE) != self._token.encode() or record is None:
                raise NotLeader(f"{batch_id} is no longer this process's")
            return work(pipe, record)

        return transaction(self._connection, batch_key(batch_id), watched)

    def close(self) -> None:
        """Let go of the files."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_files(self) -> bool:
        if self._lock is None:
            descriptor = os.open(private(self._root) / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True
