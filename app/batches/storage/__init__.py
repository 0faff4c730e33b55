"""The one door to the bytes of files and batches. No path leaves it, so that nobody else knows what they are stored on.

A storage has named bytes (`names`), of two kinds. What is written once is a draft until it is kept, and never changes after
that. What grows while a batch runs is appended to: Redis says how many of its bytes count, and whatever is beyond them was
written by a process that died before it was counted. A storage that can't append keeps each `append` as an object of its own,
named by the offset at which it begins.

Another storage is a module beside `local_disk`, its choice in `open_storage`, and its settings.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from app.batches.storage.local_disk import LocalDisk
from app.batches.storage.protocol import FilesLost, Location, Readable, Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.settings import Settings

__all__ = ["BATCHES_FOLDER", "FilesLost", "Location", "Readable", "Storage", "counted_lines", "open_storage", "pieces"]

#: of the data dir: where the local disk's storage is
BATCHES_FOLDER = "batches"
_PIECE_BYTES = 256 * 1024


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Safe to share between threads."""
    return LocalDisk(settings.data_dir / BATCHES_FOLDER)


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes; closes the file."""
    with file:
        while size > 0 and (piece := file.read(min(size, _PIECE_BYTES))):
            size -= len(piece)
            yield piece


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
