"""CSV, TSV and their like, by the rule of `nightshift batch submit`.

What parts the cells is the mark by which all of the first records have as many as the header, and of several such the one that makes most
columns.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice
from typing import TYPE_CHECKING

from nightshift_client.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: of two by which a table has as many columns the first: commas are in prose and in numbers
_MARKS = "\t;|,"
_LOOKED_AT_CHARACTERS = 512 * 1024
_LOOKED_AT_RECORDS = 200
#: what Excel puts before the header for programs that would take another mark
_SEP = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
#: a cell may be as large as a request
_LARGEST_CELL = 2**31 - 1


def records(text: str, name: str, delimiter: str | None = None) -> Iterator[list[str]]:
    """The header, and each row with as many cells, verbatim. Raises `TableError`, which names the file and the line."""
    csv.field_size_limit(_LARGEST_CELL)
    before = 0
    if sep := _SEP.match(text):
        text, delimiter, before = text[sep.end() :], sep[1], 1
    mark = delimiter or _mark(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    width = 0
    try:
        for cells in reader:
            if not cells or (width > 1 and _is_empty(cells)):
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise TableError(
                    f"{name}:{reader.line_num + before}: {'more' if len(cells) > width else 'fewer'} fields than the header has"
                    f" columns: {len(cells)}, not {width}. A cell with '{mark}' or a line break in it has quotes around it."
                )
            yield cells
    except csv.Error as error:
        raise TableError(
            f"{name}:{reader.line_num + before}: not a table: {error}. Is a quote left open, or not written twice, in the"
            " cells before?"
        ) from error


def _mark(text: str) -> str:
    start = text[:_LOOKED_AT_CHARACTERS]
    is_all = len(start) == len(text)
    found = {mark: width for mark in _MARKS if (width := _width(start, mark, is_all=is_all)) > 1}
    if not found:  # a row is ragged, and will be named by the mark that the header has
        found = {mark: len(_first(start, mark)) for mark in _MARKS}
    # A mark in prose has a blank behind it.
    tidy = [mark for mark in found if not any(name.startswith(" ") for name in _first(start, mark))]
    mark = max(tidy or found, key=found.__getitem__)
    return mark if found[mark] > 1 else ","


def _width(text: str, mark: str, *, is_all: bool) -> int:
    """How many cells the first records have by this mark; 0: not all as many."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    counts: list[int] = []
    try:
        counts.extend(len(cells) for cells in islice(reader, _LOOKED_AT_RECORDS + 1) if not _is_empty(cells))
    except csv.Error:  # the end of what is looked at may be within quotes
        if is_all:
            return 0
    else:
        if not is_all and len(counts) <= _LOOKED_AT_RECORDS:
            counts = counts[:-1] or counts  # the last one may have been cut
    return counts[0] if len(set(counts)) == 1 else 0


def _first(text: str, mark: str) -> list[str]:
    return next((cells for cells in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if cells), [])


def _is_empty(cells: list[str]) -> bool:
    """A line with nothing, or blanks, on it."""
    return not cells or (len(cells) == 1 and not cells[0].strip())
