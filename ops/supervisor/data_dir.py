"""The data dir: private to its user, and writable, or the start says why not."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from app.private_files import private
from ops.supervisor.errors import StackError

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
