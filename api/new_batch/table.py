"""A table that somebody has uploaded: on this machine's disk while it is read, and what there is to see of it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING

from app.batches.formats import json_file, line, packed, tables
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.formats.tables import Row

#: rows that are shown
SHOWN = 5
#: columns that are shown, and that a JSONL table may have for the page
MAX_COLUMNS = 200
#: a JSON value is read as a whole, and so are the texts of a workbook
MAX_JSON_BYTES, MAX_WORKBOOK_BYTES = 32 * 1024 * 1024, 256 * 1024 * 1024
_JSON = ("json", "jsonl")
#: tables that are read at the same time, and how long another one waits for its turn, seconds
_AT_ONCE, _PATIENCE_SECONDS = 2, 30.0
_turns = threading.BoundedSemaphore(_AT_ONCE)


class Busy(Exception):
    """Others are being read. The message is for people."""


@dataclass(frozen=True)
class Table:
    """`count`: its rows, blank ones left out, as far as a batch could take them; `has_more`: there are others."""

    name: str
    kind: str
    columns: tuple[str, ...]
    first: tuple[Row, ...]
    count: int
    has_more: bool


@dataclass(frozen=True)
class OnDisk:
    """A copy of a table, for as long as it is read. `name` is its own, as people know it."""

    path: Path
    kind: str
    name: str

    def look(self, most: int) -> Table:
        """Read it, up to `most` rows. Raises `FormatError`, whose message is for people."""
        first: list[Row] = []
        count = 0
        with self.named():
            self._check_size()
            rows = tables.Rows(self.path, self.kind)
            columns = tuple(rows.columns)
            if len(columns) > MAX_COLUMNS:
                raise FormatError(f"{self.path} has more than {MAX_COLUMNS} columns: leave out what no prompt needs.")
            for row in rows:
                if tables.is_blank(row):
                    continue
                if count == most:
                    return Table(self.name, self.kind, columns, tuple(first), count, has_more=True)
                count += 1
                if len(first) < SHOWN:
                    first.append(row)
        if not count:
            raise FormatError(f"{self.name} has no rows.")
        if line.is_meant(first[0]):
            raise FormatError(
                f"{self.name} has requests in it, not a table: they need no prompt. `nightshift batch submit` takes them."
            )
        return Table(self.name, self.kind, columns, tuple(first), count, has_more=False)

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """What a `FormatError` says of the copy, it says of the table."""
        try:
            yield
        except FormatError as error:
            raise FormatError(str(error).replace(str(self.path), self.name)) from error

    def _check_size(self) -> None:
        if packed.packing(self.path) is not None:
            raise FormatError(
                f"{self.path} is compressed: unpack it first. `nightshift batch submit` takes it as it is."
            )
        if self.kind == "xlsx" and _unpacked_bytes(self.path) > MAX_WORKBOOK_BYTES:
            raise FormatError(
                f"{self.path} holds more than {MAX_WORKBOOK_BYTES // 1024 // 1024} MB. Save the sheet as CSV."
            )
        is_large = self.kind in _JSON and self.path.stat().st_size > MAX_JSON_BYTES
        if is_large and (_is_one_value(self.path) or _has_long_line(self.path)):
            raise FormatError(
                f"{self.path} has a JSON value of more than {MAX_JSON_BYTES // 1024 // 1024} MB. Save it as JSONL: one"
                " object a line."
            )


def _unpacked_bytes(path: Path) -> int:
    """Of a workbook; 0 for what is none, as its reader will say."""
    try:
        with zipfile.ZipFile(path) as package:
            return sum(part.file_size for part in package.infolist())
    except zipfile.BadZipFile:
        return 0


def _is_one_value(path: Path) -> bool:
    with json_file.open_text(path) as lines:
        beginning = lines.read(1024).lstrip()
    return beginning.startswith("[") or "\n" in beginning.partition("}")[0]


def _has_long_line(path: Path) -> bool:
    with path.open("rb") as file:
        return any(len(line) > MAX_JSON_BYTES for line in iter(lambda: file.readline(MAX_JSON_BYTES + 1), b""))


@contextlib.contextmanager
def on_disk(file: IO[bytes], name: str, kind: str | None = None) -> Iterator[OnDisk]:
    """A copy of the whole file. `kind`: of its format; None: by its name's ending, or its first bytes. Raises `FormatError` for a name of what is not read, and `Busy` instead of waiting for long."""
    with turn(), tempfile.TemporaryDirectory(prefix="nightshift-table-") as directory:
        # The name goes into no path: it is whatever somebody sent.
        path = Path(directory) / "table"
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        yield OnDisk(path, kind or _kind_of(name, path), name)


def _kind_of(name: str, path: Path) -> str:
    if other := tables.save_as(PurePath(name)):
        raise FormatError(f"{name}: {PurePath(name).suffix.lower()} is not read. Save it as {other}.")
    kind = tables.format_of(PurePath(name))
    return kind if kind != tables.TEXT else tables.format_in(path) or kind


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """One of the few places for work with a whole table. Raises `Busy`."""
    if not _turns.acquire(timeout=_PATIENCE_SECONDS):
        raise Busy("Other tables are being read just now: try again in a minute.")
    try:
        yield
    finally:
        _turns.release()
