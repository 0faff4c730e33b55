"""What the lines of a batch ended with, as cells beside the rows of its table. They are on the disk: a million of them need no memory."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from app.batches.formats import answers
from app.batches.formats.columns import Column
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ANSWER, _ERROR = "answer", "error"
_USAGE = (
    Column("input_tokens", int),
    Column("cached_tokens", int),
    Column("output_tokens", int),
    Column("cost_usd", float),
)
_LARGEST = 2**63
#: whole numbers up to it are fractions, too, without loss
_EXACT = 2**53
#: more columns than that are no fields of an answer
MAX_FIELDS = 1000


class Ended:
    """Fill it with `add`, then read `names` and `find`. Use with `with`."""

    def __init__(self, directory: Path, *, expand: bool = False, usage: bool = False, schema: Any = None) -> None:
        """`expand`: an answer's fields are columns, those of `schema` first; `usage`: tokens and cost are."""
        self._lines = sqlite3.connect(directory / "ended.db", isolation_level=None)
        for text in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE line (id TEXT PRIMARY KEY, answer TEXT, error TEXT, used TEXT)",
            "BEGIN",
        ):
            self._lines.execute(text)
        self._expand, self._usage = expand, usage
        properties = schema.get("properties") if isinstance(schema, dict) else None
        #: the kinds of each field's values
        self._fields: dict[str, set[type]] = {name: set() for name in properties or ()}
        self._has_prose = False
        self._has_objects = False

    def __enter__(self) -> Ended:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def add(self, lines: Iterable[bytes]) -> None:
        """Lines of an output or error file."""
        self._lines.executemany("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?)", map(self._cells, lines))

    def names(self) -> list[Column]:
        """The columns. Raises `StackError` where answers have no fields, though these are wanted."""
        if not self._expand:
            return [Column(_ANSWER), Column(_ERROR), *(_USAGE if self._usage else ())]
        if not self._fields or not self._has_objects:
            raise StackError("--expand: no answer is a JSON object, such as --schema asks for. Leave it out.")
        if len(self._fields) > MAX_FIELDS:
            raise StackError(f"--expand: the answers have more than {MAX_FIELDS:,} fields. Leave it out.")
        prose = [Column(_ANSWER)] if self._has_prose else []
        fields = [Column(name, _kind(kinds)) for name, kinds in self._fields.items()]
        return [*fields, *prose, Column(_ERROR), *(_USAGE if self._usage else ())]

    def find(self, custom_id: str) -> Sequence[Any] | None:
        """The cells of these columns; None: the line has not ended."""
        found = self._lines.execute("SELECT answer, error, used FROM line WHERE id = ?", (custom_id,)).fetchone()
        if found is None:
            return None
        answer, error, used = found
        cells = [answer, error] if not self._expand else [*self._fields_of(answer), error]
        return cells + json.loads(used) if self._usage else cells

    def _cells(self, line: bytes) -> tuple[str, str, str, str]:
        found = json.loads(line)
        custom_id, (answer, error) = answers.of(found)
        if self._expand and answer:
            self._note(answer)
        return custom_id, answer, error, json.dumps(_used(found)) if self._usage else ""

    def _note(self, answer: str) -> None:
        value = _object(answer)
        if value is None:
            self._has_prose = True
            return
        self._has_objects = True
        for name, one in value.items():
            kinds = self._fields.setdefault(name, set())
            if one is not None:
                kinds.add(_kind_of(one))

    def _fields_of(self, answer: str) -> list[Any]:
        value = _object(answer)
        cells = [(value or {}).get(name) for name in self._fields]
        return [*cells, answer if value is None else None] if self._has_prose else cells


def _object(answer: str) -> dict[str, Any] | None:
    if not answer.startswith("{"):
        return None
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Large(int):
    """A whole number that is no fraction without loss."""


def _kind_of(value: Any) -> type:
    if type(value) is not int or abs(value) <= _EXACT:
        return type(value)
    return _Large if abs(value) < _LARGEST else str


def _kind(kinds: set[type]) -> type:
    """Of all values of a field; text where they are of several."""
    if kinds == {int, float}:
        return float
    if _Large in kinds and kinds <= {int, _Large}:
        return int
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {int, float, bool} else str


def _used(line: dict[str, Any]) -> list[Any]:
    body = (line.get("response") or {}).get("body") or {}
    usage = body.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    cost = (line.get("nightshift") or {}).get("cost_usd")
    return [usage.get("prompt_tokens"), cached, usage.get("completion_tokens"), None if cost is None else float(cost)]
