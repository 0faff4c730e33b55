"""The data dir: private to its user, writable, and one `nightshift up` for each; or the start says why not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.private_files import private
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from types import TracebackType


#: what must have room for a start
_TRIED_BYTES = 64 * 1024


def prepare(data_dir: Path) -> Path:
    """Make the directory (mode 0700) and try to write there. Its absolute path; raises `StackError`."""
    path = absolute(data_dir)
    try:
        private(path)
        with tempfile.TemporaryFile(dir=path, buffering=0) as file:
            file.write(bytes(_TRIED_BYTES))  # a full disk still makes empty files
    except OSError as error:
        raise StackError(
            f"The data dir {path} can't be used: {error.strerror}{_owner(path)}. Name another with --data-dir or"
            " NIGHTSHIFT_DATA_DIR."
        ) from error
    return path


def absolute(data_dir: Path) -> Path:
    """Its absolute path, whether it is there or not."""
    return Path(os.path.abspath(data_dir.expanduser()))  # noqa: PTH100 - resolve() would follow the user's symlinks


def _owner(path: Path) -> str:
    """Whose it is, when it is somebody else's: a first start by sudo is how that comes about."""
    with contextlib.suppress(OSError, KeyError):
        if path.stat().st_uid != os.geteuid():
            return f" (it belongs to {path.owner()})"
    return ""


class DataDirLock:
    """Held from `with` to its end, or to the process's. The kernel lets go of it: nothing is stale after a kill -9.

    Raises `StackError` naming the holder's pid and address when somebody else has it. The file stays: removing it
    would let two processes hold locks on two files of one name.
    """

    def __init__(self, data_dir: Path, address: str) -> None:
        self._path = data_dir / "nightshift.lock"
        self._data_dir = data_dir
        self._address = address
        self._descriptor = -1

    def __enter__(self) -> DataDirLock:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 4096)
            os.close(descriptor)
            raise StackError(self._refusal(text)) from None
        except OSError as error:
            os.close(descriptor)
            raise StackError(
                f"{self._path} can't be locked ({error.strerror}). Choose a --data-dir on a local disk."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "address": self._address}).encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    @staticmethod
    def holder(data_dir: Path) -> int | None:
        """The pid of the `nightshift up` that holds it; None: nobody does."""
        found = _held(data_dir).get("pid")
        return found if isinstance(found, int) else None

    @staticmethod
    def address(data_dir: Path) -> str | None:
        """The address of the `nightshift up` that holds it; None: nobody does."""
        found = _held(data_dir).get("address")
        return found if isinstance(found, str) else None

    def _refusal(self, text: bytes) -> str:
        try:
            holder = json.loads(text)
            who = f"Nightshift already runs on {self._data_dir}: process {holder['pid']}, {holder['address']}."
        except (ValueError, KeyError, TypeError):
            who = f"Nightshift is just being started on {self._data_dir} by another process."
        return f"{who} Stop it first (nightshift stop), or start this one with another --data-dir and --port."


def _held(data_dir: Path) -> dict[str, Any]:
    """What the holder has written, while there is one."""
    try:
        with (data_dir / "nightshift.lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return dict(json.loads(file.read(4096)))
    except (OSError, ValueError, TypeError):
        return {}
    return {}
