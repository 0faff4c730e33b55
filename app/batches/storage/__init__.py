"""The one door to the bytes of files and batches. No path leaves it, so that nobody else knows what they are stored on.

A storage has named bytes (`names`), of two kinds. What is written once is a draft until it is kept, and never changes after
that. What grows while a batch runs is appended to: Redis says how many of its bytes count, and whatever is beyond them was
written by a process that died before it was counted. A storage that can't append keeps each `append` as an object of its own,
named by the offset at which it begins.

Another storage is a module beside `local_disk` and `object_store`, its choice in `open_storage`, and its settings.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from app import environment, storage_url
from app.batches.storage.local_disk import LocalDisk
from app.batches.storage.protocol import FilesAltered, FilesLost, Location, Readable, Storage, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings

__all__ = [
    "BATCHES_FOLDER",
    "Appending",
    "FilesAltered",
    "FilesLost",
    "Location",
    "Readable",
    "Storage",
    "StorageError",
    "counted_lines",
    "open_storage",
    "pieces",
]

#: of the data dir: where the local disk's storage is
BATCHES_FOLDER = "batches"
_PIECE_BYTES = 256 * 1024
_APPENDED_BYTES = 1024 * 1024


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Safe to share between threads."""
    if storage_url.is_object_store(settings.storage):
        from app.batches.storage.object_store import ObjectStore  # noqa: PLC0415 - few have one

        return ObjectStore(settings.storage, environment.variables().get("AWS_ENDPOINT_URL", ""))
    return LocalDisk(storage_url.directory(settings.storage) or settings.data_dir / BATCHES_FOLDER)


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes; closes the file. Raises `FilesLost` in the end when there are fewer."""
    with file:
        while size > 0 and (piece := file.read(min(size, _PIECE_BYTES))):
            size -= len(piece)
            yield piece
    if size > 0:
        raise FilesLost(f"{size} bytes that were counted are not there")


class Appending:
    """Writes what does not count yet from the beginning of a name that is appended to later. Nothing is there before the first `flush`."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._held = bytearray()
        self._length = 0

    def write(self, data: bytes) -> None:
        """More of it."""
        self._held += data
        if len(self._held) >= _APPENDED_BYTES:
            self.flush()

    def flush(self) -> None:
        """All of it is there."""
        if self._held or not self._length:
            self._length = self._storage.append(self._name, self._length, bytes(self._held))
            self._held.clear()


def counted_lines(storage: Readable, name: str, length: int) -> Iterator[bytes]:
    """The whole lines among the first `length` bytes, with their line feeds. None when it is gone, fewer when it is shorter."""
    if not length:
        return
    try:
        file = storage.open(name)
    except FileNotFoundError:
        return
    with file:
        while length > 0 and (raw := file.readline(length)).endswith(b"\n"):
            length -= len(raw)
            yield raw
