"""What people have, as rows: CSV, TSV, JSON or lines of text. Every cell is read as it stands, whatever it looks like."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.cli.batch import json_file
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("csv", "tsv", "jsonl", "text")
#: the column of a text file
TEXT = "text"
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}


class TableError(StackError):
    """The table can't be used. The message names the file, the row and what to do."""


@dataclass
class Rows:
    """The rows of a table. `blank` counts lines without any cell before the last row; they are no rows."""

    path: Path
    kind: str
    blank: int = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, with the columns in their order. Raises `TableError`."""
        self.blank = 0
        try:
            yield from self._csv() if self.kind in _DELIMITERS else self._lines()
        except UnicodeDecodeError as error:
            raise TableError(f"{self.path}: not UTF-8: {error}. Save it as UTF-8.") from error
        except csv.Error as error:
            raise TableError(f"{self.path}: not a table: {error}.") from error
        except json_file.JsonFileError as error:
            raise TableError(str(error)) from error

    def _csv(self) -> Iterator[dict[str, Any]]:
        # The module's own bound, 131,072 characters, is below what a request may have.
        csv.field_size_limit(sys.maxsize)
        waiting = 0
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=_DELIMITERS[self.kind])
            columns: list[str] = []
            for cells in reader:
                if not columns:
                    columns = _columns(self.path, cells)
                    continue
                if not cells:
                    waiting += 1
                    continue
                self.blank, waiting = self.blank + waiting, 0
                if len(cells) > len(columns):
                    raise TableError(f"{self.path}:{reader.line_num}: more fields than the header has columns.")
                yield dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))

    def _lines(self) -> Iterator[dict[str, Any]]:
        waiting = 0
        if self.kind == "jsonl":
            found = json_file.look(self.path)
            last = 0
            for number, value in found.values():
                if not isinstance(value, dict):
                    raise TableError(f"{self.path}:{number}: not a JSON object.")
                if found.instead is None:
                    self.blank += number - last - 1
                last = number
                yield value
            return
        with json_file.open_text(self.path) as lines:
            for line in lines:
                if line.strip():
                    self.blank, waiting = self.blank + waiting, 0
                    yield {TEXT: line.rstrip("\r\n")}
                else:
                    waiting += 1


def format_of(path: Path) -> str:
    """By the file's ending; what has none of ours is text."""
    return _SUFFIXES.get(path.suffix.lower(), "text")


def is_blank(row: dict[str, Any]) -> bool:
    """Whether nothing is in its cells."""
    return all(isinstance(value, str) and not value.strip() for value in row.values())


def row_id(row: dict[str, Any], number: int, id_column: str | None) -> str:
    """The request's `custom_id`: the id column's value, or the row's number from 1."""
    if id_column is None:
        return f"row-{number}"
    if id_column not in row:
        raise TableError(f"row {number}: there is no column '{id_column}'; there are: {', '.join(row)}.")
    return str(row[id_column])


def _columns(path: Path, names: list[str]) -> list[str]:
    """The header. Of two columns of one name, one would be lost."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, 1):
        places.setdefault(name, []).append(place)
    for name, found in places.items():
        if len(found) > 1:
            which = " and ".join(map(str, found))
            called = f"are called '{name}'" if name else "have no name"
            raise TableError(f"{path}: columns {which} {called}. Give each column a name of its own.")
    return names
