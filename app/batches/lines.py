"""The lines of an input file: where each is. Only a line feed ends a line: other breaks occur in strings."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from app.batches.storage import FilesLost, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.batches.storage import Readable

_BOM = b"\xef\xbb\xbf"
#: offset, length and line number (from 1, blank lines counted)
_SPAN = struct.Struct("<QII")
SPAN_BYTES = _SPAN.size


@dataclass(frozen=True)
class ByteSpan:
    """Where a line is in its file, bytes. `is_whole` is false for a line that is longer than the limit."""

    number: int
    offset: int
    length: int
    is_whole: bool = True


def split(file: IO[bytes], max_bytes: int) -> Iterator[tuple[ByteSpan, bytes]]:
    """The lines that are not blank, in bounded memory: of one that is longer than `max_bytes` only so much is there."""
    offset, number = 0, 0
    while raw := file.readline(max_bytes + 1):
        number += 1
        length = len(raw)
        is_whole = length <= max_bytes or raw.endswith(b"\n")
        while not raw.endswith(b"\n") and (rest := file.readline(1 << 20)):
            length += len(rest)
            if rest.endswith(b"\n"):
                break
        skipped = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
        if raw[skipped:].strip():
            yield ByteSpan(number, offset + skipped, length - skipped, is_whole), raw[skipped:]
        offset += length


def why_not_lines(first: bytes) -> str | None:
    """What is wrong with a whole file, judging by its first line: JSON that is spread over lines. Else None."""
    text = first.strip()
    if text.startswith(b"["):
        found, command = "one JSON array", "jq -c '.[]'"
    elif text == b"{":
        found, command = "JSON that is spread over several lines", "jq -c ."
    else:
        return None
    return f"The file is {found}. A batch takes one request a line: `{command} FILE > LINES.jsonl` makes it so."


def index_entry(span: ByteSpan) -> bytes:
    """Where a line is, as the index has it: 16 bytes a line."""
    return _SPAN.pack(span.offset, span.length, span.number)


def length_of(entry: bytes) -> int:
    """The length of the line of that entry, bytes."""
    return span_of(entry)[1]


def span_of(entry: bytes) -> tuple[int, int]:
    """Where the line of that entry begins, and its length, bytes."""
    offset, length, _ = _SPAN.unpack(entry)
    return offset, length


class LineReader:
    """Reads any line of a batch's input by its number among those that are not blank, from 0."""

    def __init__(self, storage: Readable, batch_id: str) -> None:
        self._storage = storage
        self._input, self._index = names.batch_input(batch_id), names.line_index(batch_id)

    @classmethod
    def of_earlier(cls, storage: Readable, batch_id: str) -> LineReader:
        """For the input of the earlier batch from which that batch copies (`app.batches.since`)."""
        found = cls(storage, batch_id)
        found._input, found._index = names.since_input(batch_id), names.since_index(batch_id)
        return found

    def lengths(self, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        """(number, bytes) of each of them. Raises `OSError` when the files are gone."""
        with self._storage.open(self._index) as index:
            for number in numbers:
                yield number, self._span(index, number)[1]

    def all_lengths(self) -> list[int]:
        """Of all lines, by number, bytes. Raises `OSError` when the files are gone."""
        with self._storage.open(self._index) as index:
            return [length for _, length, _ in _SPAN.iter_unpack(index.read())]

    def read(self, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """(number, line) of each of them. Raises `OSError` when the files are gone."""
        with self._storage.open(self._input) as file, self._storage.open(self._index) as index:
            for number in numbers:
                offset, length = self._span(index, number)
                file.seek(offset)
                yield number, file.read(length)

    def _span(self, index: IO[bytes], number: int) -> tuple[int, int]:
        index.seek(number * _SPAN.size)
        packed = index.read(_SPAN.size)
        if len(packed) < _SPAN.size:
            raise FilesLost(f"{self._index} has no line {number}")
        return span_of(packed)
