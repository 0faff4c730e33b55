"""Files of JSON: one value a line, as JSONL is, and what people have instead: an array, commas between lines, pretty-printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BETWEEN = " \t\r\n,"


class FormatError(Exception):
    """What was sent is not what it should be. The message names the file, the row or line, and what to do."""


@dataclass(frozen=True)
class JsonFile:
    """A file of JSON values. `instead`: what it is when it is not JSONL, for people."""

    path: Path
    instead: str | None = None

    def values(self) -> Iterator[tuple[int, Any]]:
        """Each value, with its line in JSONL, else its number; blank lines are none. Raises `FormatError`."""
        if self.instead is not None:
            yield from enumerate((value for _, value in _spread(self.path)), 1)
            return
        with open_text(self.path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _value(self.path, number, line)


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
        found = [separator for separator, _ in islice(_spread(path), 2)]
    except FormatError:
        found = []
    has_commas = "," in found or first.rstrip().endswith(",")
    if first.lstrip().startswith("["):
        return JsonFile(path, "one JSON array")
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


def _spread(path: Path) -> Iterator[tuple[str, Any]]:
    """Each value, and what precedes it, of an array's elements or of values that follow one another."""
    with open_text(path) as file:
        text = file.read()
    decoder = json.JSONDecoder(object_pairs_hook=unique)
    at, before = _skip(text, 0)
    is_array = text[at : at + 1] == "["
    if is_array:
        at, before = _skip(text, at + 1)
    while at < len(text) and not (is_array and text[at] == "]"):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", at)) + 1
            raise FormatError(f"{path}:{line}: not valid JSON: {getattr(error, 'msg', error)}.") from error
        yield before, value
        at, before = _skip(text, end)
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


def _value(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        comma = " Lines of JSONL end without a comma." if line.rstrip().endswith(",") else ""
        raise FormatError(f"{path}:{number}: not valid JSON: {error}.{comma}") from error
