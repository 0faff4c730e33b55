"""Bytes in an object store. What was written once is an object of its name; what grows is a row of blocks below that name.

An object can't be appended to. So what grows is cut into blocks of a fixed size, and only the last one is ever written anew: as a new
version of it, which begins with all the bytes of it that count. So where any byte is follows from its offset alone, nothing has to be
listed, and what a process that died has left is overwritten by the next one.

No lock on a file stops a leader that slept through its lease. Each block is written in the place of the very version that was read
before (If-Match), or where none is (If-None-Match), and between reading and writing it is asked whether the lease is still held. So a
leader that wakes up finds another's version and asks, or its lease gone; and what it wrote at the last moment does not count,
since the step in Redis that counts it watches the lease. A store that ignores such conditions is refused (`storage.check`).
"""

from __future__ import annotations

import errno
import io
import re
import secrets
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from app import clock
from app.batches.storage.bucket import Bucket, Conflict, Version
from app.batches.storage.object_draft import ObjectDraft
from app.batches.storage.object_reader import (
    BLOCK_BYTES,
    DIGEST,
    WINDOW_BYTES,
    Blocks,
    Memory,
    OneObject,
    digest_of,
    read_block,
)
from app.batches.storage.protocol import FilesLost, Location, NotOurs, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: what is appended is gathered for this long: each append costs a request or two, whatever its size, seconds
GATHER_SECONDS = 1.0
_PLACE = ".place"
#: how long the storage's name is taken for true without looking, seconds
_PLACE_SECONDS = 30.0
#: how often a block is written anew because another version was there; nobody else should be writing at all
_TRIES = 5
#: ends of blocks that are kept in memory, so that they need not be read before they are written anew
_TAILS = 16
_NAME = re.compile(r"[\w-]+/\.?[\w-][\w.-]*")
#: names that are looked for by their beginning are in a folder of their own
_HIDDEN, _HIDDEN_FOLDER = "files/.", "hidden/."


@dataclass(frozen=True)
class _Tail:
    """The block that is written anew: what is in it, and what that version is known by."""

    number: int
    data: bytes
    version: Version


class ObjectStore:
    """See `protocol.Storage`."""

    gather_seconds = GATHER_SECONDS

    def __init__(self, url: str, endpoint: str = "") -> None:
        self.where = url
        self._endpoint = endpoint
        self._bucket = Bucket(url)
        self._is_held: Callable[[], bool] | None = None
        self._tails: dict[str, _Tail] = {}
        self._memory = Memory()
        self._place: tuple[str, float] = ("", 0.0)

    def identity(self) -> str:
        found, since = self._place
        if not found or time.monotonic() - since > _PLACE_SECONDS:
            found = self._read_place()
            self._place = found, time.monotonic()
        return found

    def _read_place(self) -> str:
        for _ in range(_TRIES):
            try:
                return self._bucket.get(_PLACE).data.decode()
            except FileNotFoundError:
                # Another process may be quicker, and so may a try of this write whose answer was lost: then all have that name.
                try:
                    self._bucket.put(_PLACE, secrets.token_hex(16).encode())
                except Conflict:
                    continue
        raise StorageError(errno.EIO, f"{self.where}: {_PLACE} is there, and can't be read")

    def location(self) -> Location:
        return Location("", self.where, 0, self._endpoint)

    def lock(self, _role: str) -> IO[bytes]:
        # The lease decides, see above. What was read before it is another's by now.
        self._tails.clear()
        self._memory.forget()
        return io.BytesIO()

    def guard(self, is_held: Callable[[], bool]) -> None:
        self._is_held = is_held

    def draft(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", ObjectDraft(self._bucket, self._path(name)))

    def keep(self, draft: IO[bytes], name: str) -> int:
        self._check_guard()
        self._memory.forget(self._path(name))
        return cast("ObjectDraft", draft).keep(self._replace)

    def discard(self, draft: IO[bytes]) -> None:
        cast("ObjectDraft", draft).discard()

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        self._check_guard()
        self._memory.forget(path)
        self._replace(path, data)

    def _replace(self, path: str, data: bytes) -> None:
        """One object as a whole. Who has a guard may sleep, and must not overwrite what its successor has written."""
        if self._is_held is None:
            self._bucket.overwrite(path, data)
            return
        version: Version | None = None
        for _ in range(_TRIES):
            self._check_guard()
            try:
                self._bucket.put(path, data, version)
            except Conflict:
                found = self._find(path)
                version = None if found is None else found[0]
                if found is not None and found[1] == data:
                    return
            else:
                return
        raise NotOurs(f"{path} in {self.where} is written by another process")

    def _find(self, path: str) -> tuple[Version, bytes] | None:
        try:
            found = self._bucket.get(path)
        except FileNotFoundError:
            return None
        return found.version, found.data

    def open(self, name: str) -> IO[bytes]:
        path = self._path(name)
        found = self._memory.versions.get(path) or self._bucket.head(path)
        raw: io.RawIOBase
        if found is not None:
            has_guard = self._is_held is not None
            if has_guard:
                self._memory.note_version(path, found)
            raw = OneObject(self._bucket, path, found, self._memory if has_guard else None)
        else:
            first = self._looked_for(lambda: read_block(self._bucket, _block(path, 0)).data)
            raw = Blocks(self._bucket, lambda number: _block(path, number), first, lambda: self.size(name) or 0)
        return cast("IO[bytes]", io.BufferedReader(raw, WINDOW_BYTES))

    def _looked_for(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except FileNotFoundError:
            # Whoever concludes that files are lost is to see first whether this is still the storage that it was.
            self._place = "", 0.0
            raise

    def size(self, name: str) -> int | None:
        path = self._path(name)
        if (found := self._bucket.head(path)) is not None:
            return found[0]
        last = self._last_block(path)
        return None if last is None else last[0] * BLOCK_BYTES + last[1]

    def _last_block(self, path: str) -> tuple[int, int] | None:
        """Its number and size: blocks are full up to the last. By few requests, and no list, which may lag."""
        sizes: dict[int, int] = {}

        def is_full(number: int) -> bool:
            found = self._bucket.head(_block(path, number))
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

    def append(self, name: str, length: int, data: bytes) -> int:
        path, left = self._path(name), memoryview(data)
        while left:
            number, start = divmod(length, BLOCK_BYTES)
            piece = bytes(left[: BLOCK_BYTES - start])
            self._write(path, number, start, piece)
            length, left = length + len(piece), left[len(piece) :]
        return length

    def _write(self, path: str, number: int, start: int, piece: bytes) -> None:
        """The block's first `start` bytes, which count, and the piece."""
        tail = self._tails.pop(path, None)
        if tail is None or tail.number != number or len(tail.data) != start:
            tail = self._tail(path, number, start)
        for _ in range(_TRIES):
            content = (tail.data[:start] if tail else b"") + piece
            self._check_guard()
            try:
                version = self._bucket.put(
                    _block(path, number),
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
            if len(content) < BLOCK_BYTES and self._is_held is not None:
                self._tails[path] = _Tail(number, content, version)
                if len(self._tails) > _TAILS:
                    del self._tails[next(iter(self._tails))]
            return
        raise NotOurs(f"{path} in {self.where} is written by another process")

    def _tail(self, path: str, number: int, start: int) -> _Tail | None:
        """The block as it is, None when there is none. Raises `FilesLost` when less than `start` of it, or of what is before it, is there."""
        if number and not start:
            before = self._bucket.head(_block(path, number - 1))
            if before is None or before[0] < BLOCK_BYTES:
                self._lost(path, number * BLOCK_BYTES)
        try:
            found = read_block(self._bucket, _block(path, number))
        except FileNotFoundError:
            if start:
                self._lost(path, number * BLOCK_BYTES + start)
            return None
        if len(found.data) < start:
            self._lost(path, number * BLOCK_BYTES + start)
        return _Tail(number, found.data, found.version)

    def _lost(self, path: str, length: int) -> None:
        self._place = "", 0.0
        raise FilesLost(f"{path} in {self.where} has less than the {length} bytes that were written to it")

    def cut(self, name: str, length: int) -> None:
        path = self._path(name)
        number, start = divmod(length, BLOCK_BYTES)
        if length:
            tail = self._tail(path, number, start)
            if start and tail is not None and len(tail.data) > start:
                self._tails[path] = tail
                self._write(path, number, start, b"")
        kept = number + (1 if start else 0)
        beyond = [one.path for one in self._bucket.list(path) if one.path >= _block(path, kept)]
        if beyond:
            self._check_guard()
            self._bucket.delete(beyond)

    def link(self, source: str, target: str) -> None:
        here, there = self._path(source), self._path(target)
        try:
            self._bucket.copy(here, there)
        except FileNotFoundError:
            last = self._last_block(here)
            if last is None:
                self._place = "", 0.0
                raise
            for number in range(last[0] + 1):
                self._bucket.copy(_block(here, number), _block(there, number))

    def remove(self, name: str) -> None:
        path = self._path(name)
        self._tails.pop(path, None)
        self._memory.forget(path)
        self._bucket.delete([path, *(one.path for one in self._bucket.list(path))])

    def remove_folder(self, folder: str) -> None:
        self._path(f"{folder}/-")
        self._bucket.delete([one.path for one in self._bucket.list(folder)])

    def find(self, prefix: str) -> Iterator[tuple[str, float]]:
        hidden = prefix.startswith(_HIDDEN)
        folder = (_HIDDEN_FOLDER if hidden else prefix).partition("/")[0]
        for one in self._bucket.list(folder):
            name, _, block = one.path.removeprefix(f"{folder}/").partition("/")
            name = f"{'files' if hidden else folder}/{name}"
            # By the store's clock and Redis', which may differ as machines' do.
            if name.startswith(prefix) and int(block or 0) == 0:
                yield name, max(0.0, clock.now() - one.modified_at)

    def sweep(self) -> None:
        """What was not kept is no object. Parts of uploads that died stay until a rule of the bucket's removes them (docs/storage.md)."""

    def check(self) -> None:
        """Whether it can be used. Raises `StorageError` that says why not."""
        path = f".check-{secrets.token_hex(8)}"
        try:
            try:
                first = self._bucket.put(path, b"1")
            except Conflict:
                first = self._bucket.get(path).version
            try:
                second = self._bucket.put(path, b"2", first)
            except Conflict:
                second = self._bucket.get(path).version
            for version in (None, first):
                try:
                    self._bucket.put(path, b"3", version)
                except Conflict:
                    continue
                raise StorageError(
                    errno.ENOTSUP,
                    f"{self.where} ignores conditional writes (If-Match, If-None-Match): two machines could overwrite each other's answers",
                )
            if self._bucket.get(path, only=second).data != b"2":
                raise StorageError(errno.EIO, f"{self.where} does not give back what was written to it")
            self._bucket.delete([path])
        except (Conflict, FileNotFoundError) as error:
            raise StorageError(errno.EIO, f"{self.where} does not keep what was written to it ({error})") from error
        self.identity()

    def _check_guard(self) -> None:
        if self._is_held is not None and not self._is_held():
            raise NotOurs(f"the batches of {self.where} are another process's by now")

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name in a storage")
        return _HIDDEN_FOLDER + name.removeprefix(_HIDDEN) if name.startswith(_HIDDEN) else name


def _block(path: str, number: int) -> str:
    """In the order of their numbers when they are sorted."""
    return f"{path}/{number:08d}"
