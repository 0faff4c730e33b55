"""Formulas in a sheet's XML whose value nobody has computed yet."""

from __future__ import annotations

import zipfile
from typing import IO, TYPE_CHECKING
from xml.parsers import expat

from app.batches.formats.sheet_xml import letters, number_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PIECE_BYTES = 256 * 1024


def without_value(path: Path, part: str, columns: Collection[int], last: int) -> str | None:
    """The first such cell in one of these columns, from 1, or behind the last one. Raises `ExpatError` and `BadZipFile`."""
    with zipfile.ZipFile(path) as package:
        with package.open(part) as file:
            if not _has_formulas(file):
                return None
        finder = _Finder(columns, last)
        with package.open(part) as file:
            while finder.found is None and (piece := file.read(_PIECE_BYTES)):
                finder.parser.Parse(piece)
        return finder.found


def _has_formulas(file: IO[bytes]) -> bool:
    before = b""
    while piece := file.read(_PIECE_BYTES):
        text = before + piece
        if any(mark in text for mark in (b"<f>", b"<f ", b":f>", b":f ")):
            return True
        before = piece[-4:]
    return False


class _Finder:
    def __init__(self, columns: Collection[int], last: int) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.found: str | None = None
        self._columns, self._last = columns, last
        self._row = self._column = 0
        self._has_formula = self._has_value = self._is_in_value = False

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "row":
            self._row, self._column = int(attributes.get("r", self._row + 1)), 0
        elif local == "c":
            self._column = number_of(attributes["r"]) if "r" in attributes else self._column + 1
            # A text may be empty.
            self._has_formula, self._has_value = False, attributes.get("t") == "str"
        elif local == "f":
            self._has_formula = True
        elif local == "v":
            self._is_in_value = True

    def _text(self, _: str) -> None:
        self._has_value |= self._is_in_value

    def _end(self, name: str) -> None:
        self._is_in_value = False
        is_cell = name.rpartition(":")[2] == "c"
        is_meant = self._column in self._columns or self._column > self._last
        if is_cell and self._has_formula and not self._has_value and is_meant:
            self.found = self.found or f"{letters(self._column)}{self._row}"
