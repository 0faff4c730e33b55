"""The part of a table that is meant: the rows that satisfy conditions, no more than so many of them, and the columns that come back."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app.batches.formats.cells import as_text
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.batches.formats.tables import Row, Table

#: a column's name, what is between, a value. The first operator counts
_CONDITION = re.compile(r"(.+?)(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda one, two: one < two,
    "<=": lambda one, two: one <= two,
    ">": lambda one, two: one > two,
    ">=": lambda one, two: one >= two,
}


@dataclass(frozen=True)
class Selection:
    """All of a table unless something is said."""

    #: those that come back; a prompt may use the others, too
    columns: tuple[str, ...] | None = None
    #: such as `lang=de`, `note!=`, `text~refund`, `stars<3`; all of them hold
    where: tuple[str, ...] = ()
    #: of rows that are not blank
    limit: int | None = None
    #: of a workbook; None: the first that is not hidden
    sheet: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all columns and rows are meant."""
        return self.columns is None and not self.where and self.limit is None

    @property
    def tested(self) -> tuple[str, ...]:
        """The columns that the conditions name."""
        return tuple(_parsed(text)[0] for text in self.where)

    def columns_of(self, path: Path, known: Sequence[str]) -> Sequence[str]:
        """Of those of a table, in the order that was asked for. Raises `FormatError`."""
        if self.columns is None:
            return known
        for name in self.columns:
            _check(path, "--columns", name, known)
        return self.columns

    def condition(self, path: Path, table: Table) -> Callable[[Row], bool]:
        """Whether a row is meant. Raises `FormatError`."""
        tests = [_parsed(text) for text in self.where]
        for name, _, _ in tests:
            _check(path, "--where", name, table.columns)

        def holds(row: Row) -> bool:
            return all(test(as_text(row.get(name))) for name, test, _ in tests)

        return holds

    def dumped(self) -> str:
        """As text, for a batch's metadata; empty: all."""
        said = {name: value for name, value in asdict(self).items() if value}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else ""


ALL = Selection()


def loaded(text: str) -> Selection:
    """The inverse of `dumped`."""
    said: dict[str, Any] = json.loads(text) if text else {}
    columns = said.get("columns")
    return Selection(
        tuple(columns) if columns else None, tuple(said.get("where", ())), said.get("limit"), said.get("sheet")
    )


def _check(path: Path, option: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise FormatError(
            f"{path}: {option} names '{name}', which is no column. {nearest(name, known)}There are: {', '.join(known)}."
        )


def _parsed(text: str) -> tuple[str, Callable[[str], bool], str]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise FormatError(
            f"--where '{text}' is no condition: COLUMN=VALUE, != for another value, ~ for text that has it in it, !~ for text"
            " that has not, and <, <=, > and >= for numbers."
        )
    name, operator, value = found[1].strip(), found[2], found[3]
    if operator in _COMPARED:
        try:
            bound = float(value)
        except ValueError as error:
            raise FormatError(f"--where '{text}' compares numbers, and '{value}' is none.") from error
        return name, lambda cell: _is_so(cell, operator, bound), operator
    return name, _TEXTUAL[operator](value), operator


_TEXTUAL: dict[str, Callable[[str], Callable[[str], bool]]] = {
    "=": lambda value: lambda cell: cell == value,
    "!=": lambda value: lambda cell: cell != value,
    "~": lambda value: lambda cell: value.casefold() in cell.casefold(),
    "!~": lambda value: lambda cell: value.casefold() not in cell.casefold(),
}


def _is_so(cell: str, operator: str, bound: float) -> bool:
    """What is no number is neither above nor below one."""
    try:
        return _COMPARED[operator](float(cell), bound)
    except ValueError:
        return False
