"""A sheet's XML with further cells at the ends of its rows. All else in it stays as it is, to the byte."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from html import escape
from typing import IO, TYPE_CHECKING, Any
from xml.parsers import expat

from app.batches.formats.cells import Number, as_text
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: of a sheet, by the format
MAX_ROWS = 1_048_576
#: what a cell of Excel takes, characters as UTF-16 counts them
MAX_CELL = 32_767
#: the first whole number of more digits than a spreadsheet keeps
_WHOLE = 10**15
_PIECE_BYTES = 256 * 1024
_TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_SPANS = re.compile(rb"\sspans=(\"[^\"]*\"|'[^']*')")
_LETTERS = re.compile(r"[A-Z]+")
#: characters that XML has not, and what looks like their escape
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet knows no zones
_DAY_SECONDS = 86_400


def letters(column: int) -> str:
    """A column's name, from 1."""
    name = ""
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def number_of(reference: str) -> int:
    """The column of a cell such as `AB12`, from 1."""
    found = 0
    for letter in (_LETTERS.match(reference) or [""])[0]:
        found = found * 26 + ord(letter) - 64
    return found


def decoded(text: str) -> str:
    """A cell's text, whose characters that XML has not are escaped in Excel's way."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def cell(value: Any, column: int, row: int, prefix: str = "", style: str = "") -> str:
    """A cell's XML; empty for an empty one without a style. Raises `FormatError` for a text that no cell takes."""
    place = f'<{prefix}c r="{letters(column)}{row}"{style}'
    if value is None or value == "":
        return f"{place}/>" if style else ""
    if isinstance(value, bool):
        return f'{place} t="b"><{prefix}v>{int(value)}</{prefix}v></{prefix}c>'
    if isinstance(value, int | float) and _fits(value):
        return f"{place}><{prefix}v>{value.text if isinstance(value, Number) else repr(value)}</{prefix}v></{prefix}c>"
    if isinstance(value, datetime | date | time | timedelta):
        return f"{place}><{prefix}v>{serial(value)!r}</{prefix}v></{prefix}c>"
    text = as_text(value)
    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if length > MAX_CELL:
        raise FormatError(
            f"row {row}: a text of {length:,} characters, and a cell of XLSX takes {MAX_CELL:,}. Write CSV instead:"
            " -o FILE.csv."
        )
    text = _UNFIT.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    text = escape(text, quote=False).replace("\r", "&#13;")
    return (
        f'{place} t="inlineStr"><{prefix}is><{prefix}t xml:space="preserve">{text}</{prefix}t></{prefix}is></{prefix}c>'
    )


def _fits(value: float) -> bool:
    """Whether a spreadsheet has such a number: of a whole one it keeps 15 digits, and infinity makes a file that it takes for broken."""
    return abs(value) < _WHOLE if isinstance(value, int) else math.isfinite(value)


def serial(value: datetime | date | time | timedelta) -> float | int:
    """Days since 1900, as a sheet counts them."""
    if isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    elif not isinstance(value, timedelta):
        whole = value if isinstance(value, datetime) else datetime.combine(value, time())
        value = whole.replace(tzinfo=None) - _EPOCH
    days = value.days + (value.seconds + value.microseconds / 1e6) / _DAY_SECONDS
    return int(days) if days == int(days) else days


class Editor:
    """Copies a sheet's XML. `cells_of`: the further cells of a row, by its number; `first`: the column of the first of them.

    What is there from that column on has no content, and is left out. `header`: the row whose further cells look as its last one.
    """

    def __init__(
        self,
        target: IO[bytes],
        cells_of: Callable[[int], Sequence[Any] | None],
        first: int,
        header: int,
    ) -> None:
        self._target, self._cells_of, self._first, self._header = target, cells_of, first, header
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._buffer = bytearray()
        #: where the buffer begins, and up to where nothing can change any more
        self._base = self._safe = 0
        #: (begin, end, what is there instead), in their order
        self._edits: list[tuple[int, int, bytes]] = []
        self._row = self._column = 0
        self._style = ""
        self._is_open = False
        self._dropped: int | None = None

    def run(self, source: IO[bytes]) -> None:
        """To the end. Raises `ExpatError`, and `FormatError` for a text that no cell takes."""
        while piece := source.read(_PIECE_BYTES):
            self._buffer += piece
            self._parser.Parse(piece)
            self._flush(self._safe if self._dropped is None else self._dropped)
        self._parser.Parse(b"", True)
        self._flush(self._base + len(self._buffer))

    def _flush(self, end: int) -> None:
        at = self._base
        kept = []
        for begin, until, text in self._edits:
            if until > end:
                kept.append((begin, until, text))
                continue
            self._target.write(self._buffer[at - self._base : begin - self._base])
            self._target.write(text)
            at = until
        if kept:
            end = min(end, kept[0][0])
        if end > at:
            self._target.write(self._buffer[at - self._base : end - self._base])
            at = end
        self._edits = kept
        del self._buffer[: at - self._base]
        self._base = at

    def _tag(self, at: int) -> bytes:
        found = _TAG.match(self._buffer, at - self._base)
        return found[0] if found else b""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._safe = self._parser.CurrentByteIndex
        local = name.rpartition(":")[2]
        if local == "row":
            tag = self._tag(at)
            self._row = int(attributes.get("r", self._row + 1))
            self._column, self._style = 0, ""
            self._is_open = not tag.endswith(b"/>")
            if "spans" in attributes:
                self._edits.append((at, at + len(tag), _SPANS.sub(b"", tag)))
        elif local == "c":
            self._column = number_of(attributes["r"]) if "r" in attributes else self._column + 1
            if self._column >= self._first:
                self._dropped = at
            else:
                self._style = attributes.get("s", "")
        elif local == "dimension" and (tag := self._tag(at)).endswith(b"/>"):
            self._edits.append((at, at + len(tag), b""))

    def _end(self, name: str) -> None:
        at = self._safe = self._parser.CurrentByteIndex
        prefix, _, local = name.rpartition(":")
        if local == "c" and self._dropped is not None:
            tag = self._tag(self._dropped)
            # Of an empty element expat reports the end behind it.
            end = self._dropped + len(tag) if tag.endswith(b"/>") else at + len(self._tag(at))
            self._edits.append((self._dropped, end, b""))
            self._dropped = None
        elif local == "row" and self._is_open and (values := self._cells_of(self._row)) is not None:
            prefix = f"{prefix}:" if prefix else ""
            style = f' s="{self._style}"' if self._row == self._header and self._style else ""
            made = "".join(
                cell(value, column, self._row, prefix, style) for column, value in enumerate(values, self._first)
            )
            self._edits.append((at, at, made.encode()))
