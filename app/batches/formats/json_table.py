"""Tables of JSON objects. Each object is kept as the file has it, so that numbers, blanks and the order of names come back as they were."""

from __future__ import annotations

import json
import math
import re
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from app import json_text
from app.batches.formats import json_file
from app.batches.formats.cells import Number, as_text
from app.batches.formats.json_file import FormatError, Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from app.batches.formats.selection import Selection
    from app.batches.formats.tables import Filled, Record

#: a line break and what follows it; a string has none
_BREAK = re.compile(r"[\r\n]\s*")
_FIRST = re.compile(r"\{(\s*)")
_BLANKS = " \t\r\n"


class JsonTable:
    """Objects as rows, in any of the shapes that `json_file` knows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _file(self) -> json_file.JsonFile:
        return json_file.look(self.path)

    @cached_property
    def columns(self) -> Sequence[str]:
        """The names of all rows' fields, in the order in which they come first. Reads the whole file. Raises `FormatError`."""
        found: dict[str, None] = {}
        for row, _ in self.records():
            found |= dict.fromkeys(row or ())
        return list(found)

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Each row, and its part of the file. Raises `FormatError`."""
        del wanted
        for number, part in self._file.parts(Number):
            if part.is_blank:
                yield None, part
            elif not isinstance(part.value, dict):
                raise FormatError(f"{self.path}:{number}: not a JSON object.")
            else:
                yield part.value, part

    def can_write_back(self, selection: Selection) -> bool:
        """With all columns."""
        return selection.columns is None

    def write_back(self, target: IO[bytes], filled: Iterable[Filled], names: Sequence[str]) -> None:
        """The file as it was, each object with further fields; where rows are left out, so is what is around them."""
        end = ""
        with self.path.open("rb") as file:
            target.write(b"\xef\xbb\xbf" if file.read(3) == b"\xef\xbb\xbf" else b"")
        is_array = self._file.instead == json_file.ARRAY
        is_first = True
        for row, part, values in filled:
            if self._file.instead is None:
                target.write((part.text if row is None else _line(part.text, names, values)).encode())
                continue
            before = part.before
            if is_first and "," in before:  # those before it are left out
                before = ("[" if is_array else "") + before.replace(",", "", 1).lstrip(" ")
            target.write((before + _with(part.text, names, values)).encode())
            is_first, end = False, part.after
        if is_array:
            target.write((("[" if is_first else "") + (end or "]\n")).encode())
        elif self._file.instead is not None:
            target.write((end or "\n").encode())

    def write(self, target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
        """Some of its columns."""
        write(target, filled, columns, names)


def write(target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
    """Any table as JSONL."""
    for text in _objects(filled, columns, names):
        target.write(f"{text}\n".encode())


def write_array(target: IO[bytes], filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> None:
    """Any table as one array."""
    before = "[\n"
    for text in _objects(filled, columns, names):
        target.write(f"{before}{text}".encode())
        before = ",\n"
    target.write(b"[]\n" if before == "[\n" else b"\n]\n")


def _objects(filled: Iterable[Filled], columns: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    chosen = set(columns)
    for row, part, values in filled:
        if row is None:
            continue
        if not isinstance(part, Part):
            text = "{" + ", ".join(f"{_dumps(name)}: {_dumps(row.get(name))}" for name in columns) + "}"
        elif chosen.issuperset(part.value):
            text = _BREAK.sub("", part.text).strip(_BLANKS)
        else:
            members = _members(part.text.strip(_BLANKS))
            kept = ", ".join(f"{_dumps(name)}: {_BREAK.sub('', members[name])}" for name in columns if name in members)
            text = f"{{{kept}}}"
        yield _with(text, names, values)


def _line(text: str, names: Sequence[str], values: Sequence[Any] | None) -> str:
    own = text.rstrip(_BLANKS)
    return _with(own, names, values) + text[len(own) :]


def _with(text: str, names: Sequence[str], values: Sequence[Any] | None) -> str:
    """An object's text with further fields."""
    body = text[: text.rindex("}")]
    own = body.rstrip(_BLANKS)
    first = _FIRST.match(text.lstrip(_BLANKS))
    lead = (first[1] if first and not own.endswith("{") else "") or " "
    pairs = zip(names, values or [None] * len(names), strict=True)
    added = f",{lead}".join(f"{_dumps(name)}: {_dumps(value)}" for name, value in pairs)
    return f"{own}{'' if own.endswith('{') else f',{lead}'}{added}{body[len(own) :]}}}"


def _members(text: str) -> dict[str, str]:
    """The text of each value of an object that is known to be one."""
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    at = 1
    while (at := _after_blanks(text, at)) < len(text) and text[at] != "}":
        if text[at] == ",":
            at += 1
            continue
        name, at = decoder.raw_decode(text, at)
        start = _after_blanks(text, _after_blanks(text, at) + 1)
        _, at = decoder.raw_decode(text, start)
        found[name] = text[start:at]
    return found


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _dumps(value: Any) -> str:
    if isinstance(value, Number):
        return value.text if math.isfinite(value) else f'"{value.text}"'
    is_json = value is None or isinstance(value, str | int | float | dict | list)
    return json_text.line(value if is_json else as_text(value)).decode().rstrip("\n")
