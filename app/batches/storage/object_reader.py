"""Reading from an object store as from a file, in ranges of a bounded size."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from app.batches.storage.bucket import Conflict
from app.batches.storage.protocol import FilesAltered

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.batches.storage.bucket import Bucket, Found, Version

#: of what grows: each block is an object of that size, but the last, bytes
BLOCK_BYTES = 1024 * 1024
#: of what was written once: what is read around a place, and what is read ahead while it is read through, bytes
WINDOW_BYTES, _AHEAD_BYTES = 64 * 1024, 1024 * 1024
#: windows that are remembered, 4 MiB
_WINDOWS = 64
#: the attribute of a block that says what it must be
DIGEST = "sha256"


def digest_of(data: bytes) -> str:
    """What a block's attribute says."""
    return hashlib.sha256(data).hexdigest()


def read_block(bucket: Bucket, path: str) -> Found:
    """A whole block. Raises `FileNotFoundError`, and `FilesAltered` for one that is not what was written."""
    found = bucket.get(path)
    if found.attributes.get(DIGEST) != digest_of(found.data):
        raise FilesAltered(f"{path} in {bucket.url} was altered: it is not what Nightshift has written")
    return found


class _Reader(io.RawIOBase):
    """Seeks without asking anybody."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = 0 if whence == os.SEEK_SET else self._at if whence == os.SEEK_CUR else self._size()
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any buffer
        view = memoryview(buffer).cast("B")
        data = self._next(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _size(self) -> int:
        raise NotImplementedError

    def _next(self, most: int) -> bytes:
        """From where it is, at least a byte unless that is the end."""
        raise NotImplementedError


@dataclass
class Memory:
    """What the process that does the batches' work has read of objects that nobody else writes meanwhile. For one thread."""

    #: size and version by path
    versions: dict[str, tuple[int, Version]] = field(default_factory=dict)
    #: by path and where they begin
    windows: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def forget(self, path: str = "") -> None:
        """An object that is written anew, or all."""
        self.versions = {one: found for one, found in self.versions.items() if path and one != path}
        self.windows = {key: data for key, data in self.windows.items() if path and key[0] != path}

    def note_version(self, path: str, found: tuple[int, Version]) -> None:
        """Of the last ones."""
        self.versions[path] = found
        if len(self.versions) > _WINDOWS:
            del self.versions[next(iter(self.versions))]

    def window(self, path: str, start: int, read: Callable[[int], bytes]) -> bytes:
        """As it is remembered, or is read now: with those that follow, where the one before it was read, too. `read` takes how many bytes."""
        if (path, start) not in self.windows:
            is_next = (path, start - WINDOW_BYTES) in self.windows
            data = read(_AHEAD_BYTES if is_next else WINDOW_BYTES)
            for at in range(0, len(data), WINDOW_BYTES):
                self.windows[path, start + at] = data[at : at + WINDOW_BYTES]
            while len(self.windows) > _WINDOWS:
                del self.windows[next(iter(self.windows))]
        return self.windows[path, start]


class OneObject(_Reader):
    """What was written once. It is one version of it: when it is replaced meanwhile, reading fails.

    A line is read with what is around it: the next ones are asked for next. Who reads on gets more at a time.
    """

    def __init__(self, bucket: Bucket, path: str, found: tuple[int, Version], memory: Memory | None) -> None:
        super().__init__()
        self._bucket = bucket
        self._path = path
        self._whole, self._version = found
        self._memory = memory
        self._start, self._window = 0, b""

    def _size(self) -> int:
        return self._whole

    def _next(self, most: int) -> bytes:
        at = self._at
        if at >= self._whole:
            return b""
        if not self._start <= at < self._start + len(self._window):
            if self._window and at == self._start + len(self._window):
                self._start, self._window = at, self._read(at, _AHEAD_BYTES)
            else:
                start = at // WINDOW_BYTES * WINDOW_BYTES
                read = partial(self._read, start)
                memory = self._memory
                self._window = read(WINDOW_BYTES) if memory is None else memory.window(self._path, start, read)
                self._start = start
        return self._window[at - self._start :][:most]

    def _read(self, start: int, size: int) -> bytes:
        end = min(start + size, self._whole)
        try:
            found = self._bucket.get(self._path, start, end, only=self._version)
        except Conflict:
            raise FilesAltered(f"{self._path} in {self._bucket.url} was replaced while it was read") from None
        if len(found.data) != end - start:
            raise FilesAltered(f"{self._path} in {self._bucket.url} is shorter than it was")
        return found.data


class ManyBlocks(_Reader):
    """What grows: each block is checked before any of it is handed out."""

    def __init__(self, bucket: Bucket, path_of: Callable[[int], str], first: bytes, size: Callable[[], int]) -> None:
        super().__init__()
        self._bucket = bucket
        self._path_of = path_of
        self._measure = size
        #: the block that was read last
        self._number, self._block = 0, first

    def _size(self) -> int:
        return self._measure()

    def _next(self, most: int) -> bytes:
        number, start = divmod(self._at, BLOCK_BYTES)
        # The last block grows, so that what it had is no reason to see an end.
        if number != self._number or start >= len(self._block):
            if number and number == self._number + 1 and len(self._block) < BLOCK_BYTES:
                return b""
            try:
                self._number, self._block = number, read_block(self._bucket, self._path_of(number)).data
            except FileNotFoundError:
                return b""
        return self._block[start : start + most]
