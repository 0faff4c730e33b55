"""CSV, TSV and their like. Each record is kept as the file has it, so that what comes back is the same to the byte.

What parts the cells is found by a look at the first records, never guessed from one: of those marks by which all of them have as many
cells as the header, the one that makes most columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.cells import as_text
from app.batches.formats.columns import unique
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from app.batches.formats.selection import Selection
    from app.batches.formats.tables import Filled, Record

#: of two by which a table has as many columns the first: commas are in prose and in numbers
_MARKS = ("\t", ";", "|", ",")
_LOOKED_AT_CHARACTERS = 512 * 1024
_LOOKED_AT_RECORDS = 200
#: what Excel puts before the header for programs that would take another mark
_SEP = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_ENDINGS = ("\r\n", "\n", "\r")


@dataclass(frozen=True)
class Dialect:
    """How a file of cells is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    #: there is a mark of byte order at its beginning
    has_bom: bool = False
    #: each name of the header is in quotes
    is_quoted: bool = False
    ending: str = "\n"

    def cells(self, values: Iterable[Any]) -> str:
        """Some cells of a record, without its end."""
        made = io.StringIO()
        # With another end it would leave one of the two unquoted.
        writer = csv.writer(
            made,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_ALL if self.is_quoted else csv.QUOTE_MINIMAL,
            lineterminator="\r\n",
        )
        writer.writerow([as_text(value) for value in values])
        return made.getvalue()[:-2]


class _Lines:
    """The lines of a file, and those that were taken since somebody asked."""

    def __init__(self, file: Iterable[str]) -> None:
        self._file = file
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self._taken.append(line)
            yield line

    def take(self) -> str:
        taken = "".join(self._taken)
        self._taken.clear()
        return taken


class Delimited:
    """A table of text. `delimiter`: None: it is looked for."""

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        # The module's own bound, 131,072 characters, is below what a request may have.
        csv.field_size_limit(sys.maxsize)
        self.path = path
        self._wanted = delimiter

    @cached_property
    def dialect(self) -> Dialect:
        """Raises `UnicodeDecodeError`."""
        encoding, has_bom = _encoding(self.path)
        with self.path.open(encoding=encoding, newline="") as file:
            text = file.read(_LOOKED_AT_CHARACTERS).removeprefix("\ufeff")
            is_all = not file.read(1)
        found = Dialect(encoding=encoding, has_bom=has_bom)
        if sep := _SEP.match(text):
            text = text[sep.end() :]
            found = replace(found, delimiter=sep[1])
        else:
            found = replace(found, delimiter=self._wanted or _delimiter(text, is_all=is_all))
        first = next(iter(io.StringIO(text, newline="")), "")
        is_quoted = bool(re.fullmatch(rf'"[^"]*"({re.escape(found.delimiter)}"[^"]*")*', first.rstrip("\r\n")))
        return replace(found, is_quoted=is_quoted, ending=_ending(first) or "\n")

    @cached_property
    def columns(self) -> Sequence[str]:
        """The header. Raises `FormatError`."""
        found: Sequence[str] = ()
        for _, cells, _ in self._raw():
            found = cells
            break
        return found

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Each row, and its text. Raises `FormatError`."""
        del wanted
        columns = self.columns
        for number, (text, cells, line) in enumerate(self._raw()):
            if number == 0:
                continue
            if not cells or (len(cells) == 1 < len(columns) and not cells[0].strip()):
                yield None, text
            elif len(cells) != len(columns):
                more = "more" if len(cells) > len(columns) else "fewer"
                raise FormatError(
                    f"{self.path}:{line}: {more} fields than the header has columns: {len(cells)}, not {len(columns)}."
                    f" A cell with '{self.dialect.delimiter}' or a line break in it has quotes around it."
                )
            else:
                yield dict(zip(columns, cells, strict=True)), text

    def can_write_back(self, selection: Selection) -> bool:
        """With all columns."""
        return selection.columns is None

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """The table as it was, each record with further cells."""
        dialect = self.dialect
        file = io.TextIOWrapper(target, encoding=dialect.encoding, newline="", write_through=False)
        try:
            if dialect.has_bom:
                file.write("\ufeff")
            file.write(self._head(names))
            empty: list[None] = [None] * len(names)
            for row, text, values in filled:
                if row is None:
                    file.write(text)
                    continue
                end = _ending(text)
                file.write(f"{text.removesuffix(end)}{dialect.delimiter}{dialect.cells(values or empty)}{end}")
        finally:
            file.flush()
            file.detach()

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """Some of its columns, in its own dialect."""
        write(target, filled, columns, names, self.dialect)

    def _head(self, names: Sequence[str]) -> str:
        """What precedes the first row: the header, with further names."""
        for text, _, _ in self._raw():
            end = _ending(text)
            return f"{text.removesuffix(end)}{self.dialect.delimiter}{self.dialect.cells(names)}{end or self.dialect.ending}"
        return ""

    def _raw(self) -> Iterator[tuple[str, list[str], int]]:
        """Each record's text, cells and line; the header is the first, and what precedes it is part of its text."""
        dialect = self.dialect
        with self.path.open(encoding=dialect.encoding, newline="") as file:
            if dialect.has_bom:
                file.read(1)
            before, skipped = _before(file)
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
            is_header = True
            try:
                for cells in reader:
                    text = lines.take()
                    if is_header and not cells:
                        before += text
                    elif is_header:
                        is_header = False
                        yield before + text, unique(self.path, cells), reader.line_num + skipped
                    else:
                        yield text, cells, reader.line_num + skipped
            except csv.Error as error:
                line = reader.line_num + skipped
                raise FormatError(
                    f"{self.path}:{line}: not a table: {error}. Is a quote left open, or not written twice, in the cells"
                    " before?"
                ) from error


def write(
    target: IO[bytes],
    filled: Iterable[Filled],
    columns: Sequence[str],
    names: Sequence[str],
    dialect: Dialect | None = None,
) -> None:
    """Any table as text. Raises `FormatError`."""
    dialect = dialect or Dialect()
    file = io.TextIOWrapper(target, encoding=dialect.encoding, newline="")
    try:
        if dialect.has_bom:
            file.write("\ufeff")
        file.write(dialect.cells([*columns, *names]) + dialect.ending)
        empty: list[None] = [None] * len(names)
        for row, _, values in filled:
            if row is not None:
                cells = [*(row.get(name) for name in columns), *(values or empty)]
                file.write(dialect.cells(cells) + dialect.ending)
    finally:
        file.flush()
        file.detach()


def _before(file: IO[str]) -> tuple[str, int]:
    """Excel's line that names the mark, if there is one, and how many lines that is. The file is at what follows."""
    at = file.tell()
    if sep := _SEP.fullmatch(first := file.readline(8)):
        del sep
        return first, 1
    file.seek(at)
    return "", 0


def _encoding(path: Path) -> tuple[str, bool]:
    """UTF-8, or what its mark of byte order says, and whether there is one."""
    with path.open("rb") as file:
        start = file.read(3)
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8", True
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", True
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", True
    return "utf-8", False


def _delimiter(text: str, *, is_all: bool) -> str:
    found = [(columns, mark) for mark in _MARKS if (columns := _columns_by(text, mark, is_all=is_all)) > 1]
    if not found:  # a row is ragged, and will be named by the mark that the header has
        found = [(len(_first(text, mark)), mark) for mark in _MARKS]
    # A mark in prose has a blank behind it.
    tidy = [one for one in found if not any(name.startswith(" ") for name in _first(text, one[1]))]
    columns, mark = max(tidy or found, key=lambda one: one[0])
    return mark if columns > 1 else ","


def _first(text: str, mark: str) -> list[str]:
    return next((cells for cells in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if cells), [])


def _columns_by(text: str, mark: str, *, is_all: bool) -> int:
    """How many columns the first records have by this mark; 0: not all as many."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    counts: list[int] = []
    try:
        for cells in reader:
            if cells and not (len(cells) == 1 and not cells[0].strip()):
                counts.append(len(cells))
            if len(counts) > _LOOKED_AT_RECORDS:
                break
        else:
            if not is_all:
                counts = counts[:-1] or counts  # the last one may have been cut
    except csv.Error:
        if is_all or not counts:
            return 0
    return counts[0] if counts and all(count == counts[0] for count in counts) else 0


def _ending(text: str) -> str:
    return next((end for end in _ENDINGS if text.endswith(end)), "")
