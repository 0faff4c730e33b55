"""The lines of an input file: where each is, and what it says. Only a line feed ends a line: other breaks occur in strings."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from app.batches.storage import FilesLost, names
from app.error_codes import ErrorCode
from app.openai import json_text
from app.openai.json_text import JsonError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.storage import Readable
    from app.error_codes import Code
    from app.errors import ErrorReply

MAX_CUSTOM_ID = 512
_BOM = b"\xef\xbb\xbf"
#: offset, length and line number (from 1, blank lines counted)
_PLACE = struct.Struct("<QII")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line. `line` counts from 1; None: it is about the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class LineError(ValueError):
    """The line is no request."""

    def __init__(self, code: Code, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def at(self, line: int | None) -> Fault:
        """The fault, with its place."""
        return Fault(self.code, str(self), self.param, line)


class BodyError(LineError):
    """The line's envelope is right, and its body is refused with `reply`, as the same request by itself would be."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.cause, reply.message, "body" if reply.param is None else f"body.{reply.param}")
        self.reply = reply


@dataclass(frozen=True)
class Line:
    """A request of a batch. `body` is not checked."""

    custom_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a line is in its file, bytes. `is_whole` is false for a line that is longer than the limit."""

    number: int
    offset: int
    length: int
    is_whole: bool = True


def split(file: IO[bytes], max_bytes: int) -> Iterator[tuple[Place, bytes]]:
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
            yield Place(number, offset + skipped, length - skipped, is_whole), raw[skipped:]
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


def parse(raw: bytes, endpoint: str) -> Line:
    """The line's request. Raises `LineError` for the first thing that is wrong with it."""
    try:
        sent = json_text.parse(raw)
    except JsonError as error:
        comma = " Lines of JSONL end without a comma." if raw.rstrip().endswith(b",") else ""
        raise LineError(
            ErrorCode.INVALID_JSON_LINE, f"This line is not parseable as valid JSON: {error}.{comma}", error.param
        ) from error
    if not isinstance(sent, dict):
        raise LineError(ErrorCode.INVALID_JSON_LINE, "This line is not a JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if sent.get(name) is None:
            raise LineError(ErrorCode.MISSING_REQUIRED_PARAMETER, f"Missing required parameter: '{name}'.", name)
    custom_id, method, url, body = (sent[name] for name in ("custom_id", "method", "url", "body"))
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID:
        raise LineError(
            ErrorCode.INVALID_CUSTOM_ID, f"'custom_id' takes a string of 1 to {MAX_CUSTOM_ID} characters.", "custom_id"
        )
    if method != "POST":
        raise LineError(ErrorCode.INVALID_METHOD, "'method' must be POST.", "method")
    if url != endpoint:
        raise LineError(ErrorCode.URL_MISMATCH, f"'url' must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise LineError(ErrorCode.INVALID_TYPE, "'body' must be an object.", "body")
    return Line(custom_id, body)


def index_entry(place: Place) -> bytes:
    """Where a line is, as the index has it: 16 bytes a line."""
    return _PLACE.pack(place.offset, place.length, place.number)


class LineReader:
    """Reads any line of a batch's input by its number among those that are not blank, from 0."""

    def __init__(self, storage: Readable, batch_id: str) -> None:
        self._storage = storage
        self._input, self._index = names.batch_input(batch_id), names.line_index(batch_id)

    def read(self, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
        """(number, line) of each of them. Raises `OSError` when the files are gone."""
        with self._storage.open(self._input) as file, self._storage.open(self._index) as index:
            for number in numbers:
                index.seek(number * _PLACE.size)
                packed = index.read(_PLACE.size)
                if len(packed) < _PLACE.size:
                    raise FilesLost(f"{self._index} has no line {number}")
                offset, length, _ = _PLACE.unpack(packed)
                file.seek(offset)
                yield number, file.read(length)
