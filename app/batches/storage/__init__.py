"""The one door to the bytes of files and batches. No path leaves it, so that nobody else knows what they are stored on.

A storage has named bytes (`names`), of two kinds. What is written once is a `Draft` until it is kept, and never changes after
that. What grows while a batch runs is appended to: Redis says how many of its bytes count, and whatever is beyond them was
written by a process that died before it was counted. A storage that can't append keeps each `append` as an object of its own,
named by the offset at which it begins.

Another storage is a module beside `local_disk`, its choice in `open_storage`, and its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.batches.storage.local_disk import LocalDisk
from app.batches.storage.protocol import Draft, FilesLost, Location, Lock, Readable, Storage
from app.batches.storage.reading import counted_lines, pieces

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["Draft", "FilesLost", "Location", "Lock", "Readable", "Storage", "counted_lines", "open_storage", "pieces"]


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name. Safe to share between threads."""
    return LocalDisk(settings.data_dir / "batches")
