"""The names of a table's columns."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path


class Column(str):
    """The name of a new column. `kind`: of its cells, where a format has types: `str`, `int`, `float` or `bool`."""

    kind: type

    def __new__(cls, name: str, kind: type = str) -> Column:
        """Of text unless something is said."""
        made = super().__new__(cls, name)
        made.kind = kind
        return made


def unique(path: Path, names: list[str]) -> list[str]:
    """The header. Of two columns of one name, one would be lost: raises `FormatError`."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, 1):
        places.setdefault(name, []).append(place)
    for name, found in places.items():
        if len(found) > 1:
            which = " and ".join(map(str, found))
            called = f"are called '{name}'" if name else "have no name"
            raise FormatError(f"{path}: columns {which} {called}. Give each column a name of its own.")
    return names


def free(columns: Collection[str], name: str) -> str:
    """A column's name that is not among them, of the same type."""
    found = name
    while found in columns:
        found += "_"
    return Column(found, getattr(name, "kind", str))


def nearest(name: str, columns: Iterable[str]) -> str:
    """A question that names the column which is spelled almost so, and a blank; empty without one."""
    folded = {column.strip().casefold(): column for column in columns}
    found = difflib.get_close_matches(name.strip().casefold(), folded, 1)
    return f"Did you mean '{folded[found[0]]}'? " if found else ""
