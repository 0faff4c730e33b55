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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, cast

from app import clock
from app.batches.storage import object_check
from app.batches.storage.bucket import Bucket, Conflict, Version
from app.batches.storage.object_blocks import TRIES, Blocks, block_path
from app.batches.storage.object_draft import ObjectDraft
from app.batches.storage.object_reader import BLOCK_BYTES, WINDOW_BYTES, ManyBlocks, Memory, OneObject, read_block
from app.batches.storage.protocol import FilesLost, Location, NotOurs, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: what is appended is gathered for this long: each append costs a request or two, whatever its size, seconds
GATHER_SECONDS = 1.0
_PLACE = ".place"
#: how long the storage's name is taken for true without looking, seconds
_PLACE_SECONDS = 30.0
_NAME = re.compile(r"[\w-]+/\.?[\w-][\w.-]*")
#: names that are looked for by their beginning are in a folder of their own
_HIDDEN, _HIDDEN_FOLDER = "files/.", "hidden/."


class ObjectStore:
    """See `protocol.Storage`."""

    gather_seconds = GATHER_SECONDS

    def __init__(self, url: str, endpoint: str = "") -> None:
        self.where = url
        self._endpoint = endpoint
        self._bucket = Bucket(url)
        self._is_held: Callable[[], bool] | None = None
        self._blocks = Blocks(self._bucket, self._check_guard)
        self._memory = Memory()
        self._place: tuple[str, float] = ("", 0.0)

    def identity(self) -> str:
        found, since = self._place
        if not found or time.monotonic() - since > _PLACE_SECONDS:
            found = self._read_place()
            self._place = found, time.monotonic()
        return found

    def _read_place(self) -> str:
        for _ in range(TRIES):
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
        self._blocks.forget()
        self._memory.forget()
        return io.BytesIO()

    def guard(self, is_held: Callable[[], bool]) -> None:
        self._is_held = is_held
        self._blocks.remembers = True

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
        for _ in range(TRIES):
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
            with self._unless_lost():
                first = read_block(self._bucket, block_path(path, 0)).data
            raw = ManyBlocks(self._bucket, partial(block_path, path), first, lambda: self.size(name) or 0)
        return cast("IO[bytes]", io.BufferedReader(raw, WINDOW_BYTES))

    @contextmanager
    def _unless_lost(self) -> Iterator[None]:
        """Whoever concludes that files are lost is to see first whether this is still the storage that it was."""
        try:
            yield
        except (FileNotFoundError, FilesLost):
            self._place = "", 0.0
            raise

    def size(self, name: str) -> int | None:
        path = self._path(name)
        if (found := self._bucket.head(path)) is not None:
            return found[0]
        last = self._blocks.last(path)
        if last is None:
            # A bucket that is not there has no object either, and nothing is gone from it.
            self._place = "", 0.0
            self.identity()
            return None
        return last[0] * BLOCK_BYTES + last[1]

    def append(self, name: str, length: int, data: bytes) -> int:
        with self._unless_lost():
            return self._blocks.append(self._path(name), length, data)

    def append_all(self, appends: Sequence[tuple[str, int, bytes]]) -> list[int]:
        if len(appends) == 1:
            return [self.append(*appends[0])]
        # At once: the feeder waits for each, and workers for the feeder.
        with ThreadPoolExecutor(len(appends) or 1) as pool:
            return list(pool.map(lambda one: self.append(*one), appends))

    def cut(self, name: str, length: int) -> None:
        with self._unless_lost():
            self._blocks.cut(self._path(name), length)

    def link(self, source: str, target: str) -> None:
        here, there = self._path(source), self._path(target)
        try:
            self._bucket.copy(here, there)
        except FileNotFoundError:
            last = self._blocks.last(here)
            if last is None:
                self._place = "", 0.0
                raise
            for number in range(last[0] + 1):
                self._bucket.copy(block_path(here, number), block_path(there, number))

    def remove(self, name: str) -> None:
        path = self._path(name)
        self._blocks.forget(path)
        self._memory.forget(path)
        # What grows has no object of that name itself, and some stores stop at one that is not there.
        self._bucket.delete([*(one.path for one in self._bucket.list(path)), path])

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
        object_check.check(self._bucket)
        self.identity()

    def _check_guard(self) -> None:
        if self._is_held is not None and not self._is_held():
            raise NotOurs(f"the batches of {self.where} are another process's by now")

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name in a storage")
        return _HIDDEN_FOLDER + name.removeprefix(_HIDDEN) if name.startswith(_HIDDEN) else name
