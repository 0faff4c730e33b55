"""What people have, as rows, and back: CSV, TSV, JSON or lines of text. Every cell is read verbatim, whatever it looks like.

Another format is a class that fits `Table`, a function that writes any table, and a row of `FORMATS`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Protocol

from app.batches.formats import cells, columnar, columnar_writer, delimited, json_table, packed, sheet, sheet_writer
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError, open_text
from app.batches.formats.selection import ALL, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path, PurePath

#: the columns in their order
Row = dict[str, Any]
#: a row, and what the format keeps to write it back as it was; None for a line without any cell, which is no row
Record = tuple[Row | None, Any]
#: the same with the cells of further columns; None where there are none
Filled = tuple[Row | None, Any, Sequence[Any] | None]
#: the column of a text file
TEXT = "text"


class Table(Protocol):
    """One table. Every method raises `FormatError`, and `UnicodeDecodeError` for text that is not UTF-8."""

    @property
    def columns(self) -> Sequence[str]:
        """In their order."""

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """In their order. `wanted`: the columns that are looked at; what is wrong with others is no fault then."""

    def can_write_back(self, selection: Selection) -> bool:
        """Whether `write_back` can give back this part of it."""

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """The table as it was with further columns of these names. `filled`: its own records, with their cells."""

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """Only some of its columns, and further ones."""


@dataclass(frozen=True)
class Format:
    """How a table is read, and how any other is written so."""

    suffixes: tuple[str, ...]
    open: Callable[[Path], Table]
    write: Callable[[IO[bytes], Iterable[Filled], Sequence[str], Sequence[str]], None]
    #: a cell may be a JSON value
    is_json: bool = False
    #: it is no text
    is_binary: bool = False
    open_sheet: Callable[[Path, str], Table] | None = None


@dataclass
class Rows:
    """The rows of a table that are selected. `blank` counts lines without any cell before the last row; they are no rows."""

    path: Path
    kind: str
    selection: Selection = ALL
    blank: int = field(default=0, init=False)

    @cached_property
    def table(self) -> Table:
        """Raises `FormatError`."""
        found = FORMATS[self.kind]
        if self.selection.sheet is None:
            return found.open(self.path)
        if found.open_sheet is None:
            raise FormatError(f"{self.path}: --sheet is for XLSX; {self.kind} has no sheets.")
        return found.open_sheet(self.path, self.selection.sheet)

    @property
    def columns(self) -> Sequence[str]:
        """Those that come back. Raises `FormatError` for one that is not there."""
        with _faults(self.path):
            return self.selection.columns_of(self.path, self.table.columns)

    def __iter__(self) -> Iterator[Row]:
        """Raises `FormatError`."""
        return (row for _, row in self.numbered())

    def numbered(self, wanted: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """Each row with its number in the table, from 1. Raises `FormatError`."""
        self.blank = waiting = 0
        for number, row, _ in self.records(wanted):
            if row is None:
                waiting += 1
                continue
            self.blank, waiting = self.blank + waiting, 0
            yield number, row

    def records(self, wanted: Collection[str] | None = None) -> Iterator[tuple[int, Row | None, Any]]:
        """As `numbered`, with what the format keeps of it, and with what is no row. Raises `FormatError`."""
        number = taken = 0
        where = self.selection.condition(self.path, self.table) if self.selection.where else None
        if wanted is not None and self.selection.where:
            wanted = {*wanted, *self.selection.tested}
        with _faults(self.path):
            for row, kept in self.table.records(wanted):
                if row is None:
                    if where is None:
                        yield number, None, kept
                    continue
                number += 1
                if where is not None and not where(row):
                    continue
                if self.selection.limit is not None and not is_blank(row):
                    if taken == self.selection.limit:
                        return
                    taken += 1
                yield number, row, kept


class _faults:  # noqa: N801 - a context manager
    """What the standard library raises about a table becomes a `FormatError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise FormatError(f"{self._path}: {not_utf_8(error)}") from error


def not_utf_8(error: UnicodeDecodeError) -> str:
    """What is wrong with a text, and how to make it right."""
    return (
        f"not UTF-8: its byte {error.object[error.start]:#04x} is no character there. Save it as UTF-8: in Excel that is"
        " 'CSV UTF-8', elsewhere `iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW`."
    )


#: what is no text, and what its program can save it as
_OTHERS = {".xls": ".xlsx", ".xlsb": ".xlsx", ".ods": ".xlsx", ".numbers": ".xlsx", ".docx": ".csv", ".pdf": ".csv"}


def format_of(path: PurePath) -> str:
    """By the file's ending, or the one before `.gz` and `.zst`; what has none of ours is text."""
    ending = packed.split(path)[0].suffix.lower()
    return next((name for name, one in FORMATS.items() if ending in one.suffixes), TEXT)


def save_as(path: PurePath) -> str | None:
    """The ending of what its program can save a file as that is not read, by the file's ending; None: it is read."""
    return _OTHERS.get(path.suffix.lower())


def format_in(path: Path) -> str | None:
    """By the file's first bytes; None: they say nothing."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"PK\x03\x04"):
        return "xlsx"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return "json" if start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[") else None


def is_blank(row: Row) -> bool:
    """Whether nothing is in its cells."""
    return all(cells.is_empty(value) for value in row.values())


def row_id(row: Row, number: int, id_column: str | None) -> str:
    """The request's `custom_id`: the id column's value, or the row's number from 1."""
    if id_column is None:
        return f"row-{number}"
    if id_column not in row:
        raise FormatError(
            f"row {number}: there is no column '{id_column}'. {nearest(id_column, row)}There are: {', '.join(row)}."
        )
    return cells.as_text(row[id_column])


class Lines:
    """Lines of text as a table of one column. It comes back as CSV."""

    columns: Sequence[str] = (TEXT,)

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Raises `UnicodeDecodeError`."""
        del wanted
        with open_text(self._path) as lines:
            for line in lines:
                yield {TEXT: line.rstrip("\r\n")} if line.strip() else None, None

    def can_write_back(self, selection: Selection) -> bool:
        """Never: lines have no columns."""
        del selection
        return False

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """As a table of all its columns."""
        self.write(target, filled, self.columns, names)

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """As CSV."""
        delimited.write(target, filled, columns, names)


#: by its name
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format((".csv",), delimited.Delimited, delimited.write),
        "tsv": Format(
            (".tsv", ".tab"),
            partial(delimited.Delimited, delimiter="\t"),
            partial(delimited.write, dialect=delimited.Dialect("\t")),
        ),
        "jsonl": Format((".jsonl", ".ndjson"), json_table.JsonTable, json_table.write, is_json=True),
        "json": Format((".json",), json_table.JsonTable, json_table.write_array, is_json=True),
        "xlsx": Format(
            (".xlsx", ".xlsm"), sheet.SheetTable, sheet_writer.write, is_binary=True, open_sheet=sheet.SheetTable
        ),
        "parquet": Format(
            (".parquet", ".pq"),
            partial(columnar.ColumnarTable, kind="parquet"),
            partial(columnar_writer.write, kind="parquet"),
            is_binary=True,
        ),
        "arrow": Format(
            (".arrow", ".feather", ".ipc", ".arrows"),
            partial(columnar.ColumnarTable, kind="arrow"),
            partial(columnar_writer.write, kind="arrow"),
            is_binary=True,
        ),
        TEXT: Format((), Lines, delimited.write),
    }
)
