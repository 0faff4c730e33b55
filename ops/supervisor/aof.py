r"""Redis' append-only files: which there are, and up to where each is whole.

Valkey and Redis from 7.0 on keep a base file and increments in one directory, named in order by a manifest. An increment is a row of
commands in RESP (`*2\r\n$3\r\nDEL\r\n...`), those of a transaction between MULTI and EXEC, and of comments (`#TS:...`):
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = "appendonlydir"
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
