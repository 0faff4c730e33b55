"""The names of a table's columns."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path


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
    """A column's name that is not among them."""
    while name in columns:
        name += "_"
    return name


def nearest(name: str, columns: Iterable[str]) -> str:
    """A question that names the column which is spelled almost so, and a blank; empty without one."""
    folded = {column.strip().casefold(): column for column in columns}
    found = difflib.get_close_matches(name.strip().casefold(), folded, 1)
    return f"Did you mean '{folded[found[0]]}'? " if found else ""
