"""Files that a command writes for its user: none is overwritten unasked, and none is there half."""

from __future__ import annotations

import contextlib
import sys
from typing import IO, TYPE_CHECKING

from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TargetError(StackError):
    """The file can't be written. The message says why, and what to do."""


def check(path: Path | None, *, force: bool) -> None:
    """Before anything is asked for. Raises `TargetError` for a file that is there, and a folder that is not."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise TargetError(f"There is no folder {path.parent}: make it first, or name another FILE.")
    if path.is_dir():
        raise TargetError(f"{path} is a folder: name a file in it.")
    if path.exists() and not force:
        raise TargetError(f"{path} is there already: --force overwrites it.")


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[IO[str]]:
    """The file, there only when it is whole; or stdout. Raises `TargetError`."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            yield target
        part.replace(path)
    except OSError as error:
        raise TargetError(f"{path} can't be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
