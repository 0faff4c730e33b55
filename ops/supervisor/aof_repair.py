"""A power cut may leave zeros, or half of a command, at the end of Redis' file, and Redis does not start with zeros.

What is no whole command is cut off, together with a transaction that has no end, and with all that was written after it in later
files: what is left is what there was at one moment. It is kept, and it is said. A file that is whole is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.private_files import private
from ops.supervisor import aof
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAMAGED = "damaged"
#: what the server says of a file that it does not load
REFUSAL = re.compile(r"Bad file format reading the append only file")
_ID = re.compile(rb"nightshift:(?:job|batch|file):([A-Za-z0-9_-]{8,100})")
_MOST_IDS = 10
#: in which an id is looked for, bytes
_LOOKED_AT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Cut:
    """What was cut off of one file."""

    path: Path
    #: what is left of it, and what is kept elsewhere, bytes
    whole: int
    lost: int
    kept: Path


def mend(data_dir: Path, *, was_refused: bool) -> str:
    """What was lost, for people; empty when nothing was, and nothing was changed.

    A file that ends like a command is not looked into unless the server has refused to load it: that takes some seconds for 50 MB.
    Raises `StackError` when what is to be cut off can't be kept.
    """
    files = [path for path in aof.increments(data_dir) if path.exists()]
    # The server shortens a file by itself that ends in mid-command: the last is no loss to that, but then refuses one that others follow.
    if not (was_refused or any(map(aof.ends_in_mid_command, files))):
        return ""
    cuts = list(_planned(files, data_dir / DAMAGED))
    if not cuts:
        return ""
    try:
        private(data_dir / DAMAGED)
        for cut in cuts:
            _keep(cut)
        text = _text(cuts)
        (data_dir / DAMAGED / f"{_stamp(cuts[0])}.txt").write_text(text + "\n")
    except OSError as error:
        raise StackError(
            f"Redis' file {cuts[0].path} is damaged from byte {cuts[0].whole} on, and what follows can't be kept: {error}."
        ) from error
    # The last first: should this be broken off, the damage is still there to be found.
    for cut in reversed(cuts):
        _shorten(cut)
    return text


def reports(data_dir: Path, since: float) -> list[Path]:
    """What `mend` said from that second (since the epoch) on, the oldest first."""
    found = (data_dir / DAMAGED).glob("*.txt")
    return sorted(path for path in found if path.stat().st_mtime >= since)


def _planned(files: list[Path], directory: Path) -> Iterator[Cut]:
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    is_damaged = False
    for path in files:
        scan = aof.scan(path)
        whole = 0 if is_damaged else scan.whole
        is_damaged = is_damaged or not scan.is_whole
        if whole < scan.size:
            kept = directory / f"{stamp}-{path.name}-from-byte-{whole}"
            yield Cut(path, whole, scan.size - whole, kept)


def _keep(cut: Cut) -> None:
    with cut.path.open("rb") as source, cut.kept.open("wb") as target:
        source.seek(cut.whole)
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())


def _shorten(cut: Cut) -> None:
    with cut.path.open("r+b") as file:
        file.truncate(cut.whole)
        os.fsync(file.fileno())


def _text(cuts: list[Cut]) -> str:
    lost = sum(cut.lost for cut in cuts)
    ids = list(dict.fromkeys(id_ for cut in cuts for id_ in _ids(cut.kept)))
    named = f" They name {', '.join(ids[:_MOST_IDS])}{', and others' if len(ids) > _MOST_IDS else ''}." if ids else ""
    return (
        f"Redis' file {cuts[0].path.name} was damaged at its end, as by a power cut: {lost} bytes that are no whole commands were"
        f" cut off, and are kept in {cuts[0].kept.parent}.{named} What was accepted in the last seconds before the damage may be"
        " missing; all before it is there."
    )


def _ids(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [found.decode() for found in _ID.findall(file.read(_LOOKED_AT))]


def _stamp(cut: Cut) -> str:
    return cut.kept.name.partition(f"-{cut.path.name}")[0]
