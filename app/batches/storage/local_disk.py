"""Bytes in a directory of the data dir: each name is a file, each folder a directory. All are private to the user."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from app.batches.storage.protocol import FilesLost, Location
from app.private_files import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: a draft that has not been written to for this long was left by a crash, seconds
STRAY_SECONDS = 24 * 3600
_FILES = "files"
_PART = ".part-"
_NAME = re.compile(r"[\w-]+/\.?[\w-][\w.-]*")


class LocalDisk:
    """See `protocol.Storage`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def where(self) -> str:
        return str(self._root / _FILES)

    def check(self) -> None:
        with tempfile.TemporaryFile(dir=self._files(), prefix=_PART) as file:
            file.write(b"1")

    def identity(self) -> str:
        path = private(self._root) / ".place"
        with suppress(FileNotFoundError):
            return path.read_text()
        descriptor, draft = tempfile.mkstemp(dir=self._root, prefix=path.name)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(16))
                file.flush()
                os.fsync(file.fileno())
            # A link fails where another process was quicker: both have the same name then.
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink(missing_ok=True)
        return path.read_text()

    def location(self) -> Location:
        # The disk, too: where one is not mounted, the directory below it is not the one whose files these are.
        path = os.path.abspath(self._root)  # noqa: PTH100 - resolve() would follow the user's symlinks
        return Location(socket.gethostname(), path, self._root.stat().st_dev, _machine())

    def lock(self, role: str) -> IO[bytes] | None:
        # The kernel releases it when the process ends. The feeder's has the name that it had when it was the only one.
        name = ".lock" if role == "feeder" else f".lock-{role}"
        file = os.fdopen(os.open(private(self._root) / name, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def guard(self, is_held: Callable[[], bool]) -> None:
        """Its locks are the kernel's."""

    @property
    def gather_seconds(self) -> float:
        return 0.0

    def draft(self, name: str) -> IO[bytes]:
        self._path(name)
        return tempfile.NamedTemporaryFile(dir=self._files(), prefix=_PART, delete=False)

    def keep(self, draft: IO[bytes], name: str) -> int:
        draft.flush()
        os.fsync(draft.fileno())
        size = os.fstat(draft.fileno()).st_size
        draft.close()
        Path(draft.name).replace(self._path(name))
        return size

    def discard(self, draft: IO[bytes]) -> None:
        # On a full disk the rest of it can't be written, which is no reason to keep it.
        with suppress(OSError):
            draft.close()
        Path(draft.name).unlink(missing_ok=True)

    def put(self, name: str, data: bytes) -> None:
        draft = self.draft(name)
        try:
            draft.write(data)
            self.keep(draft, name)
        except BaseException:
            self.discard(draft)
            raise

    def open(self, name: str) -> IO[bytes]:
        return self._path(name).open("rb")

    def size(self, name: str) -> int | None:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None

    def append(self, name: str, length: int, data: bytes) -> int:
        with self._cut_off(name, length) as descriptor:
            os.lseek(descriptor, length, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        return length + len(data)

    def append_all(self, appends: Sequence[tuple[str, int, bytes]]) -> list[int]:
        return [self.append(*one) for one in appends]

    def cut(self, name: str, length: int) -> None:
        if length or self._path(name).exists():
            with self._cut_off(name, length):
                pass

    @contextmanager
    def _cut_off(self, name: str, length: int) -> Iterator[int]:
        """A descriptor of the file, without what does not count; on the disk for good afterwards."""
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDWR | (0 if length else os.O_CREAT), 0o600)
        except FileNotFoundError as error:
            raise FilesLost(f"{path} is gone") from error
        try:
            if os.fstat(descriptor).st_size < length:
                raise FilesLost(f"{path} is shorter than the {length} bytes that were written to it")
            os.ftruncate(descriptor, length)
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        path = self._path(target)
        private(path.parent)
        try:
            os.link(self._path(source), path)
        except OSError:
            shutil.copyfile(self._path(source), path)

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        shutil.rmtree(self._path(f"{folder}/-").parent, ignore_errors=True)

    def find(self, prefix: str) -> Iterator[tuple[str, float]]:
        folder, _, beginning = prefix.partition("/")
        for path in self._path(f"{folder}/-").parent.glob(f"{beginning}*"):
            # A draft may be kept or discarded by its process meanwhile.
            with suppress(FileNotFoundError):
                # By this machine's clock, as the disk's times are.
                yield f"{folder}/{path.name}", time.time() - path.stat().st_mtime  # noqa: TID251

    def sweep(self) -> None:
        for name, age in self.find(f"{_FILES}/{_PART}"):
            if age > STRAY_SECONDS:
                self.remove(name)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name in a storage")
        folder, _, rest = name.partition("/")
        return (self._files() if folder == _FILES else self._root / folder) / rest

    def _files(self) -> Path:
        """Made when it is missing. A batch's directory is not: without it the batch has lost what it needs."""
        private(self._root)
        return private(self._root / _FILES)


def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"
