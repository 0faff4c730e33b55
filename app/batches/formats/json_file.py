"""Files of JSON: one value a line, as JSONL is, and what people have instead: an array, commas between lines, pretty-printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BETWEEN = " \t\r\n,"
#: what a file is that is no JSONL
ARRAY = "one JSON array"


class FormatError(Exception):
    """What was sent is not what it should be. The message names the file, the row or line, and what to do."""


@dataclass(frozen=True)
class JsonFile:
    """A file of JSON values. `instead`: what it is when it is not JSONL, for people."""

    path: Path
    instead: str | None = None

    def values(self) -> Iterator[tuple[int, Any]]:
        """Each value, with its line in JSONL, else its number; blank lines are none. Raises `FormatError`."""
        return ((number, one.value) for number, one in self.parts() if not one.is_blank)

    def parts(self, number_of: Callable[[str], float] = float) -> Iterator[tuple[int, Part]]:
        """As `values`, with the text around each, and with the blank lines of JSONL.

        `number_of`: what a number with a fraction or an exponent becomes.
        """
        if self.instead is not None:
            yield from enumerate(_spread(self.path, number_of), 1)
            return
        with open_text(self.path) as lines:
            for number, line in enumerate(lines, 1):
                is_blank = not line.strip()
                value = None if is_blank else _value(self.path, number, line, number_of)
                yield number, Part(value, line, is_blank=is_blank)


@dataclass(frozen=True)
class Part:
    """A value, and its text: a whole line of JSONL; of another file the value's own."""

    value: Any
    text: str
    is_blank: bool = False
    #: what is between the value before and this one, and behind the last one
    before: str = ""
    after: str = ""
    separator: str = ""


def look(path: Path) -> JsonFile:
    """What it is, by its beginning. What is no JSON at all counts as JSONL, whose lines are named then."""
    with open_text(path) as lines:
        first = next((line for line in lines if line.strip()), "")
        is_more = any(line.strip() for line in lines)
    try:
        if not isinstance(json.loads(first), list) or is_more:
            return JsonFile(path)
    except (ValueError, RecursionError):
        if first.lstrip()[:1] not in ("{", "["):
            return JsonFile(path)
    # Its second value says what it is, if it has one.
    try:
        found = [one.separator for one in islice(_spread(path), 2)]
    except FormatError:
        found = []
    has_commas = "," in found or first.rstrip().endswith(",")
    if first.lstrip().startswith("["):
        return JsonFile(path, ARRAY)
    if not found:
        return JsonFile(path)
    return JsonFile(path, "JSON with commas between its lines" if has_commas else "JSON spread over several lines")


def open_text(path: Path) -> IO[str]:
    """The file as text whose lines end at line feeds only. A mark of byte order is no text."""
    return path.open(encoding="utf-8-sig", newline="\n")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, none of whose names is there twice: one of the two would be lost. Raises `ValueError`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two fields are called '{twin}'")
    return found


def _spread(path: Path, number_of: Callable[[str], float] = float) -> Iterator[Part]:
    """An array's elements, or values that follow one another."""
    with open_text(path) as file:
        text = file.read()
    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_float=number_of)
    last = 0
    at, separator = _skip(text, 0)
    is_array = text[at : at + 1] == "["
    if is_array:
        at, separator = _skip(text, at + 1)
    while at < len(text) and not (is_array and text[at] == "]"):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", at)) + 1
            raise FormatError(f"{path}:{line}: not valid JSON: {getattr(error, 'msg', error)}.") from error
        start = at
        at, next_separator = _skip(text, end)
        is_last = at >= len(text) or (is_array and text[at] == "]")
        yield Part(
            value,
            text[start:end],
            before=text[last:start],
            after=text[end:] if is_last else "",
            separator=separator,
        )
        last, separator = end, next_separator
    rest = text[at + 1 :].strip()
    if is_array and (at >= len(text) or rest):
        why = "there is more after the end of the array" if rest else "its array has no end: is the file whole?"
        raise FormatError(f"{path}: {why}")


def _skip(text: str, at: int) -> tuple[int, str]:
    """Where the next value begins, and `,` if there is a comma before it."""
    comma = ""
    while at < len(text) and text[at] in _BETWEEN:
        comma = "," if text[at] == "," else comma
        at += 1
    return at, comma


def _value(path: Path, number: int, line: str, number_of: Callable[[str], float]) -> Any:
    try:
        return json.loads(line, object_pairs_hook=unique, parse_float=number_of)
    except (ValueError, RecursionError) as error:
        comma = " Lines of JSONL end without a comma." if line.rstrip().endswith(",") else ""
        raise FormatError(f"{path}:{number}: not valid JSON: {error}.{comma}") from error
