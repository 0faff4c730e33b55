"""One `nightshift up` for each data dir."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


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
