"""What people have, as rows, and back: CSV, TSV, JSON or lines of text. Every cell is read verbatim, whatever it looks like.

Another format is a function that reads, one that writes, and a row of `FORMATS`.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from app import json_text
from app.batches.formats import json_file
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

#: the columns in their order
Row = dict[str, Any]
#: a row, its answer and its error; what there is none of is empty
Answered = tuple[Row, str, str]
#: the column of a text file
TEXT = "text"


@dataclass(frozen=True)
class Format:
    """How a table is read, and written with its answers."""

    suffixes: tuple[str, ...]
    #: its rows, None for a line without any cell. Raises `FormatError`, `UnicodeDecodeError`, `csv.Error`
    read: Callable[[Path], Iterator[Row | None]]
    #: adds a column for the answers and one for the errors
    write: Callable[[IO[str], Iterable[Answered]], None]


@dataclass
class Rows:
    """The rows of a table. `blank` counts lines without any cell before the last row; they are no rows."""

    path: Path
    kind: str
    blank: int = 0

    def __iter__(self) -> Iterator[Row]:
        """Raises `FormatError`."""
        self.blank = waiting = 0
        try:
            for row in FORMATS[self.kind].read(self.path):
                if row is None:
                    waiting += 1
                    continue
                self.blank, waiting = self.blank + waiting, 0
                yield row
        except UnicodeDecodeError as error:
            raise FormatError(f"{self.path}: not UTF-8: {error}. Save it as UTF-8.") from error
        except csv.Error as error:
            raise FormatError(f"{self.path}: not a table: {error}.") from error


def format_of(path: Path) -> str:
    """By the file's ending; what has none of ours is text."""
    return next((name for name, one in FORMATS.items() if path.suffix.lower() in one.suffixes), TEXT)


def is_blank(row: Row) -> bool:
    """Whether nothing is in its cells."""
    return all(isinstance(value, str) and not value.strip() for value in row.values())


def row_id(row: Row, number: int, id_column: str | None) -> str:
    """The request's `custom_id`: the id column's value, or the row's number from 1."""
    if id_column is None:
        return f"row-{number}"
    if id_column not in row:
        raise FormatError(f"row {number}: there is no column '{id_column}'; there are: {', '.join(row)}.")
    return str(row[id_column])


def free(row: Row, name: str) -> str:
    """A column's name that the row has not."""
    while name in row:
        name += "_"
    return name


def _read_csv(delimiter: str, path: Path) -> Iterator[Row | None]:
    # The module's own bound, 131,072 characters, is below what a request may have.
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        columns: list[str] = []
        for cells in reader:
            if not columns:
                columns = _columns(path, cells)
            elif not cells:
                yield None
            elif len(cells) > len(columns):
                raise FormatError(f"{path}:{reader.line_num}: more fields than the header has columns.")
            else:
                yield dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))


def _write_csv(delimiter: str, target: IO[str], rows: Iterable[Answered]) -> None:
    writer = csv.writer(target, delimiter=delimiter, lineterminator="\n")
    for number, (row, answer, error) in enumerate(rows):
        if number == 0:
            writer.writerow([*row, free(row, "answer"), free(row, "error")])
        writer.writerow([*(v if isinstance(v, str) else json.dumps(v) for v in row.values()), answer, error])


def _read_json(path: Path) -> Iterator[Row | None]:
    found = json_file.look(path)
    last = 0
    for number, value in found.values():
        if not isinstance(value, dict):
            raise FormatError(f"{path}:{number}: not a JSON object.")
        yield from [None] * (number - last - 1)
        last = number
        yield value


def _write_json(target: IO[str], rows: Iterable[Answered]) -> None:
    columns: list[str] = []
    for row, answer, error in rows:
        columns = columns or [free(row, "answer"), free(row, "error")]
        target.write(json_text.line({**row, columns[0]: _parsed(answer), columns[1]: error or None}).decode())


def _parsed(answer: str) -> Any:
    """Structured answers as what they are, prose as a string."""
    if answer[:1] in ("{", "["):
        try:
            return json.loads(answer)
        except ValueError:
            return answer
    return answer or None


def _read_text(path: Path) -> Iterator[Row | None]:
    with json_file.open_text(path) as lines:
        for line in lines:
            yield {TEXT: line.rstrip("\r\n")} if line.strip() else None


def _columns(path: Path, names: list[str]) -> list[str]:
    """The header. Of two columns of one name, one would be lost."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, 1):
        places.setdefault(name, []).append(place)
    for name, found in places.items():
        if len(found) > 1:
            which = " and ".join(map(str, found))
            called = f"are called '{name}'" if name else "have no name"
            raise FormatError(f"{path}: columns {which} {called}. Give each column a name of its own.")
    return names


#: by its name. Lines of text come back as CSV, since they have one column only
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format((".csv",), partial(_read_csv, ","), partial(_write_csv, ",")),
        "tsv": Format((".tsv",), partial(_read_csv, "\t"), partial(_write_csv, "\t")),
        "jsonl": Format((".jsonl", ".ndjson", ".json"), _read_json, _write_json),
        TEXT: Format((), _read_text, partial(_write_csv, ",")),
    }
)
