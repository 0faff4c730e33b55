"""The faults of a file, for people: each once, with its place, and with how many more there are like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.cli.batch.server import say as _say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: different faults that are shown, and the places shown of equal ones
MAX_SHOWN = 50
_MAX_PLACES = 5


def say(file: Path, found: Iterable[dict[str, Any]], unit: str, *, prefix: str = "") -> None:
    """Name them on stderr. `found`: as OpenAI's `errors.data`; `unit`: what `line` counts, a `line`, `row` or `request`."""
    alike: dict[tuple[str, str, str | None], list[int | None]] = {}
    for fault in found:
        alike.setdefault((fault["code"], fault["message"], fault["param"]), []).append(fault["line"])
    for (code, message, param), places in list(alike.items())[:MAX_SHOWN]:
        where = f"{prefix}{code}: {message}" + (f" ({param})" if param else "")
        _say(f"{_place(file, places[0], unit)}: {where}{_others(places[1:], unit)}")
    if (left := len(alike) - MAX_SHOWN) > 0:
        _say(f"{file}: {left:,} more faults of other kinds or places; --json shows all.")


def _place(file: Path, line: int | None, unit: str) -> str:
    if not line:
        return str(file)
    return f"{file}:{line}" if unit == "line" else f"{file}: {unit} {line}"


def _others(places: list[int | None], unit: str) -> str:
    if not places:
        return ""
    named = ", ".join(f"{place:,}" for place in places[:_MAX_PLACES] if place)
    more = len(places) - _MAX_PLACES
    return f" [also {unit}{'s' if len(places) > 1 else ''} {named}{f' and {more:,} more' if more > 0 else ''}]"
