r"""Redis' append-only files: which there are, and up to where each is whole.

Valkey and Redis from 7.0 on keep a base file and increments in one directory, named in order by a manifest. An increment is a row of
commands in RESP (`*2\r\n$3\r\nDEL\r\n...`), those of a transaction between MULTI and EXEC, and of comments (`#TS:...`):
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.private_files import private
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


DIRECTORY = "appendonlydir"
#: all in one file, as servers before 7.0 write it; later ones read it at a start where there is no directory. It may be an RDB file alone
WHOLE_FILE = "appendonly.aof"
_MANIFEST = "appendonly.aof.manifest"
_INCREMENT = "i"
_CRLF = b"\r\n"
#: the lines that say how many arguments follow, and how long one is
_COUNT, _LENGTH = re.compile(rb"\*([1-9]\d{0,8})\r\n"), re.compile(rb"\$(\d{1,18})\r\n")


@dataclass(frozen=True)
class Scan:
    """What a file is made of."""

    size: int
    #: up to this byte it is whole commands, and whole transactions
    whole: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing follows."""
        return self.whole == self.size


def increments(data_dir: Path) -> list[Path]:
    """The files that are replayed after the base, in their order; none where there is no manifest (older servers)."""
    directory = data_dir / DIRECTORY
    try:
        lines = (directory / _MANIFEST).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = [dict(zip(words[::2], words[1::2], strict=False)) for words in map(str.split, lines)]
    named = [(int(row["seq"]), row["file"]) for row in rows if row.get("type") == _INCREMENT and row["seq"].isdigit()]
    return [directory / name for _, name in sorted(named)]


def ends_in_mid_command(path: Path) -> bool:
    """Whether its last bytes can't be a command's end. A file for which this is False may be damaged all the same."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_CRLF)))
        return size > 0 and file.read() != _CRLF


def scan(path: Path) -> Scan:
    """Read all of it: some seconds for 50 MB."""
    size = path.stat().st_size
    if size == 0:
        return Scan(0, 0)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return Scan(size, _whole(data, size))


def _whole(data: mmap.mmap, size: int) -> int:
    at = whole = 0
    in_transaction = False
    while at < size:
        if data[at] == ord("#"):
            end = data.find(_CRLF, at)
            if end < 0:
                return whole
            at = end + len(_CRLF)
        else:
            found = _command(data, at)
            if found is None:
                return whole
            name, at = found
            in_transaction = name == b"MULTI" or (in_transaction and name != b"EXEC")
        if not in_transaction:
            whole = at
    return whole


def _command(data: mmap.mmap, at: int) -> tuple[bytes, int] | None:
    """(its name in capitals, where it ends); None when what is there is none, or not all of one."""
    head = _COUNT.match(data, at)
    if head is None:
        return None
    at = head.end()
    name = b""
    for index in range(int(head[1])):
        head = _LENGTH.match(data, at)
        if head is None:
            return None
        begin, end = head.end(), head.end() + int(head[1])
        if data[end : end + 2] != _CRLF:
            return None
        if index == 0:
            name = data[begin:end].upper()
        at = end + 2
    return name, at


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
    files = [path for path in increments(data_dir) if path.exists()]
    # The server shortens a file by itself that ends in mid-command: the last is no loss to that, but then refuses one that others follow.
    if not (was_refused or any(map(ends_in_mid_command, files))):
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
        found = scan(path)
        whole = 0 if is_damaged else found.whole
        is_damaged = is_damaged or not found.is_whole
        if whole < found.size:
            kept = directory / f"{stamp}-{path.name}-from-byte-{whole}"
            yield Cut(path, whole, found.size - whole, kept)


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
