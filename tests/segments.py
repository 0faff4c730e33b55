"""A storage without append, in memory, as an object store is: what grows is a row of objects, each named by where it begins."""

from __future__ import annotations

import io
import secrets
import time
from typing import IO, TYPE_CHECKING

from app.batches.storage import FilesLost, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Segments:
    """See `app.batches.storage.Storage`."""

    def __init__(self) -> None:
        #: by name and offset: when it was written, and what
        self.objects: dict[tuple[str, int], tuple[float, bytes]] = {}
        self._identity = secrets.token_hex(16)
        self.where = "memory"
        self.gather_seconds = 0.0

    def check(self) -> None:
        """It can always be used."""

    def identity(self) -> str:
        return self._identity

    def location(self) -> Location:
        return Location("", f"memory:{self._identity}", 0, "")

    def lock(self, _role: str) -> IO[bytes]:
        return io.BytesIO()  # what was appended by a writer that slept is cut off as what was not counted is

    def guard(self, is_held: Callable[[], bool]) -> None:
        """As above."""

    def draft(self, _name: str) -> IO[bytes]:
        return io.BytesIO()

    def keep(self, draft: IO[bytes], name: str) -> int:
        draft.seek(0)
        self.put(name, draft.read())
        return draft.tell()

    def discard(self, draft: IO[bytes]) -> None:
        draft.close()

    def put(self, name: str, data: bytes) -> None:
        self.remove(name)
        self.objects[name, 0] = time.time(), data

    def open(self, name: str) -> IO[bytes]:
        if self.size(name) is None:
            raise FileNotFoundError(name)
        return io.BytesIO(b"".join(self.objects[name, at][1] for at in self._offsets(name)))

    def size(self, name: str) -> int | None:
        offsets = self._offsets(name)
        return offsets[-1] + len(self.objects[name, offsets[-1]][1]) if offsets else None

    def append(self, name: str, length: int, data: bytes) -> int:
        self.cut(name, length)
        self.objects[name, length] = time.time(), data
        return length + len(data)

    def append_all(self, appends: Sequence[tuple[str, int, bytes]]) -> list[int]:
        return [self.append(*one) for one in appends]

    def cut(self, name: str, length: int) -> None:
        for at in self._offsets(name):
            if at >= length:
                del self.objects[name, at]
        if (self.size(name) or 0) != length:
            raise FilesLost(f"{name} has no end at {length}")

    def link(self, source: str, target: str) -> None:
        self.put(target, self.open(source).read())

    def remove(self, name: str) -> None:
        for at in self._offsets(name):
            del self.objects[name, at]

    def remove_folder(self, folder: str) -> None:
        for name in {name for name, _ in self.objects if name.startswith(f"{folder}/")}:
            self.remove(name)

    def find(self, prefix: str) -> Iterator[tuple[str, float]]:
        for (name, at), (written, _) in list(self.objects.items()):
            if name.startswith(prefix) and at == 0:
                yield name, time.time() - written

    def sweep(self) -> None:
        """A draft that was not kept was nowhere."""

    def _offsets(self, name: str) -> list[int]:
        return sorted(at for known, at in self.objects if known == name)
