"""What grows in an object store: a row of blocks below its path, each a whole object of a fixed size, but the last.

Only the last block is ever written anew, as a new version that begins with all the bytes of it that count. See `object_store` for why.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.batches.storage.bucket import Conflict
from app.batches.storage.object_reader import BLOCK_BYTES, DIGEST, digest_of, read_block
from app.batches.storage.protocol import FilesLost, NotOurs

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.batches.storage.bucket import Bucket, Version

#: how often a block is written anew because another version was there; nobody else should be writing at all
TRIES = 5
#: ends of blocks that are kept in memory, so that they need not be read before they are written anew
_TAILS = 16


def block_path(path: str, number: int) -> str:
    """In the order of their numbers when they are sorted."""
    return f"{path}/{number:08d}"


@dataclass(frozen=True)
class _Tail:
    """The block that is written anew: what is in it, and what that version is known by."""

    number: int
    data: bytes
    version: Version


class Blocks:
    """Writes them. `check_guard`: raises `NotOurs` when the lease is another's. Several paths may be written at once."""

    def __init__(self, bucket: Bucket, check_guard: Callable[[], None]) -> None:
        self._bucket = bucket
        self._check_guard = check_guard
        self._tails: dict[str, _Tail] = {}
        self._lock = threading.Lock()
        #: whether this process is the one that writes
        self.remembers = False

    def forget(self, path: str = "") -> None:
        """What is known of that path, or of all."""
        with self._lock:
            self._tails = {one: tail for one, tail in self._tails.items() if path and one != path}

    def append(self, path: str, length: int, data: bytes) -> int:
        """As `Storage.append`."""
        left = memoryview(data)
        while left:
            number, start = divmod(length, BLOCK_BYTES)
            piece = bytes(left[: BLOCK_BYTES - start])
            self._write(path, number, start, piece)
            length, left = length + len(piece), left[len(piece) :]
        return length

    def cut(self, path: str, length: int) -> None:
        """As `Storage.cut`."""
        number, start = divmod(length, BLOCK_BYTES)
        if length:
            tail = self._tail(path, number, start)
            if start and tail is not None and len(tail.data) > start:
                self._remember(path, tail)
                self._write(path, number, start, b"")
        kept = number + (1 if start else 0)
        beyond = [one.path for one in self._bucket.list(path) if one.path >= block_path(path, kept)]
        if beyond:
            self._check_guard()
            self._bucket.delete(beyond)

    def last(self, path: str) -> tuple[int, int] | None:
        """The last block's number and size; None: there is none. By few requests, and no list, which may lag."""
        sizes: dict[int, int] = {}

        def is_full(number: int) -> bool:
            found = self._bucket.head(block_path(path, number))
            sizes[number] = -1 if found is None else found[0]
            return sizes[number] >= BLOCK_BYTES

        beyond = 1
        if not is_full(0):
            return None if sizes[0] < 0 else (0, sizes[0])
        full = 0
        while is_full(beyond):
            full, beyond = beyond, beyond * 2
        while beyond - full > 1:
            middle = (full + beyond) // 2
            if is_full(middle):
                full = middle
            else:
                beyond = middle
        return (beyond, sizes[beyond]) if sizes[beyond] > 0 else (full, sizes[full])

    def _write(self, path: str, number: int, start: int, piece: bytes) -> None:
        """The block's first `start` bytes, which count, and the piece."""
        with self._lock:
            tail = self._tails.pop(path, None)
        if tail is None or tail.number != number or (piece and len(tail.data) != start):
            tail = self._tail(path, number, start)
        for _ in range(TRIES):
            content = (tail.data[:start] if tail else b"") + piece
            self._check_guard()
            try:
                version = self._bucket.put(
                    block_path(path, number),
                    content,
                    tail.version if tail else None,
                    attributes={DIGEST: digest_of(content)},
                )
            except Conflict:
                tail = self._tail(path, number, start)
                # A write of ours whose answer was lost is there, and was refused when it was sent again.
                if tail is None or tail.data != content:
                    continue
                version = tail.version
            if len(content) < BLOCK_BYTES and self.remembers:
                self._remember(path, _Tail(number, content, version))
            return
        raise NotOurs(f"{path} in {self._bucket.url} is written by another process")

    def _remember(self, path: str, tail: _Tail) -> None:
        with self._lock:
            self._tails[path] = tail
            if len(self._tails) > _TAILS:
                del self._tails[next(iter(self._tails))]

    def _tail(self, path: str, number: int, start: int) -> _Tail | None:
        """The block as it is, None when there is none. Raises `FilesLost` when less than `start` of it, or of what is before it, is there."""
        if number and not start:
            before = self._bucket.head(block_path(path, number - 1))
            if before is None or before[0] < BLOCK_BYTES:
                self._lost(path, number * BLOCK_BYTES)
        try:
            found = read_block(self._bucket, block_path(path, number))
        except FileNotFoundError:
            if start:
                self._lost(path, number * BLOCK_BYTES + start)
            return None
        if len(found.data) < start:
            self._lost(path, number * BLOCK_BYTES + start)
        return _Tail(number, found.data, found.version)

    def _lost(self, path: str, length: int) -> None:
        raise FilesLost(f"{path} in {self._bucket.url} has less than the {length} bytes that were written to it")
