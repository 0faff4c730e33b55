"""What a storage does, and how it fails: with an `OSError` whose text is for people, as a disk does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class FilesLost(OSError):
    """Bytes that were counted are not there: somebody has removed them, or cut them off."""


class StorageError(OSError):
    """An object store can't be asked, or refuses: the text is for people."""


class FilesAltered(StorageError):
    """Bytes are not those that were written: they are not handed out."""


class NotOurs(StorageError):
    """Another process does the work by now: nothing was written."""


@dataclass(frozen=True)
class Location:
    """Where a storage was seen last. Two that are equal are the same path on the same disk of a machine that was not restarted.

    Of an object store, which all machines see: no host, its URL, and its endpoint as the machine.
    """

    host: str
    path: str
    device: int
    machine: str


class Readable(Protocol):
    """A storage for those who only read."""

    def open(self, name: str) -> IO[bytes]:
        """To read from, and to seek in. Raises `FileNotFoundError`."""

    def size(self, name: str) -> int | None:
        """Bytes; None when there is nothing of that name."""


class Storage(Readable, Protocol):
    """The whole of it."""

    @property
    def where(self) -> str:
        """Where it is, for people."""

    def check(self) -> None:
        """Whether it can be used. Raises `OSError` that says why not."""

    def identity(self) -> str:
        """Its name, made up when the storage is created, so that one that was deleted and created again has another."""

    def location(self) -> Location:
        """Where this process finds it."""

    def lock(self, role: str) -> IO[bytes] | None:
        """The right to do what the `role` does, held by one process until it closes it, or ends, however that is. None: another one has it.

        The feeder's is the right to append, the lane's the right to send parts.
        """

    def guard(self, is_held: Callable[[], bool]) -> None:
        """Whoever has a lock that is not the storage's own (a lease) says whether it is still held. Asked before each write from then on.

        A write that finds another process's, or finds that the lease is another's, raises `NotOurs`.
        """

    @property
    def gather_seconds(self) -> float:
        """How long what is to be appended is best gathered for, since each append costs as much as a large one; 0: not at all."""

    def draft(self, name: str) -> IO[bytes]:
        """For bytes that are written once, from the first to the last; `tell` says how many. Nobody can ask for them until they are kept."""

    def keep(self, draft: IO[bytes], name: str) -> int:
        """They are there for good under that name, the draft's, in the place of what was there; how many bytes they are."""

    def discard(self, draft: IO[bytes]) -> None:
        """Nobody wants them. Nothing happens to those that were kept."""

    def put(self, name: str, data: bytes) -> None:
        """Draft and keep a few bytes."""

    def append(self, name: str, length: int, data: bytes) -> int:
        """Make it the first `length` bytes that are there, and the data, for good. Its new length.

        Raises `FilesLost` when less than `length` is there. Doing it twice is the same as once. A batch's folder is never made by it.
        """

    def append_all(self, appends: Sequence[tuple[str, int, bytes]]) -> list[int]:
        """`append` to several names; the new length of each. When it raises, some may have been appended to."""

    def cut(self, name: str, length: int) -> None:
        """Take away what is beyond `length`. Raises `FilesLost` when less than that is there."""

    def link(self, source: str, target: str) -> None:
        """The same bytes under another name, too, each of which is removed by itself. Makes the target's folder."""

    def remove(self, name: str) -> None:
        """Nothing happens when it is not there."""

    def remove_folder(self, folder: str) -> None:
        """All names in it. What can't be removed stays."""

    def find(self, prefix: str) -> Iterator[tuple[str, float]]:
        """The names that begin so, and how long ago each was written, seconds. The prefix names a whole folder at least."""

    def sweep(self) -> None:
        """Remove what processes that died have left of drafts."""
