"""What people have, as rows of plain values: a list of dicts, a DataFrame of pandas or polars, an Arrow table, a CSV or JSON file.

pandas, polars and pyarrow are never imported here: whoever has such a table has done so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from nightshift_client import delimited
from nightshift_client.errors import TableError

Kind = Literal["dicts", "pandas", "polars"]
Row = dict[str, Any]

_MISSING = ("NaTType", "NAType")


@dataclass(frozen=True)
class Table:
    """`rows` have values of JSON only, in the table's order; `source` is the table as it was given."""

    rows: list[Row]
    kind: Kind
    source: Any
    name: str

    @property
    def columns(self) -> list[str]:
        """The names of all rows' columns, in the order in which they come first."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


def of(source: Any) -> Table:
    """Read it, once. Raises `TableError`."""
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return Table(_plain_rows(_read(path)), "dicts", source, path.name)
    package = type(source).__module__.partition(".")[0]
    if package == "pandas" and hasattr(source, "to_dict") and hasattr(source, "columns"):
        _check_names(source.columns)
        return Table(_plain_rows(source.to_dict("records")), "pandas", source, "pandas")
    if package == "polars" and hasattr(source, "collect"):
        raise TableError("A LazyFrame has no rows yet: pass what collect() gives.")
    if package == "polars" and hasattr(source, "iter_rows"):
        return Table(_plain_rows(source.iter_rows(named=True)), "polars", source, "polars")
    if package == "pyarrow" and hasattr(source, "to_pylist"):
        _check_names(source.column_names)
        return Table(_plain_rows(source.to_pylist()), "dicts", source, "arrow")
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        rows = list(source)
        return Table(_plain_rows(rows), "dicts", rows, "rows")
    raise TableError(
        f"No table: {type(source).__name__}. A table is a list of dicts, a DataFrame of pandas or polars, an Arrow table, or"
        " the path of a CSV or JSON file."
    )


def as_text(value: Any) -> str:
    """A cell as it is in a prompt or an id: text as it is, nothing as nothing, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_blank(row: Row) -> bool:
    """Whether nothing is in its cells."""
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in row.values())


def stored(content: bytes) -> list[Row]:
    """The rows of JSONL that the server has. Raises `TableError`."""
    return _json_rows(content.decode(), "the table")


def _read(path: Path) -> Iterable[Row]:
    ending = path.suffix.lower()
    if ending in (".xlsx", ".xlsm"):
        raise TableError(
            f"{path}: workbooks are not read here. `nightshift batch submit` reads them, and keeps the zeros of numbers that are"
            " shown as 007, which pandas loses; results() takes the id of its batch."
        )
    if ending not in (".csv", ".tsv", ".json", ".jsonl", ".ndjson"):
        raise TableError(
            f"{path}: only CSV, TSV, JSON and JSONL are read here. Read it with pandas or polars, and pass the DataFrame."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if ending in (".csv", ".tsv"):
                return _csv_rows(file.read(), "\t" if ending == ".tsv" else None, str(path))
            return _json_rows(file.read(), str(path))
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: not UTF-8: its byte {error.object[error.start]:#04x} is no character there. Save it as UTF-8: in"
            " Excel that is 'CSV UTF-8'."
        ) from error
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}.") from error


def _csv_rows(text: str, delimiter: str | None, name: str) -> Iterable[Row]:
    found = delimited.records(text, name, delimiter)
    columns = next(found, [])
    _check_names(columns)
    return [dict(zip(columns, cells, strict=True)) for cells in found]


def _json_rows(text: str, name: str) -> list[Row]:
    try:
        if text.lstrip().startswith("["):
            found = json.loads(text)
        else:
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise TableError(f"{name}: not valid JSON: {error}.") from error
    return list(found)


def _plain_rows(rows: Iterable[Any]) -> list[Row]:
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise TableError(f"row {number}: not a dict, but {type(row).__name__}.")
        plain = {str(name): _plain(value, number, str(name)) for name, value in row.items()}
        if len(plain) < len(row):
            _check_names(row)
        found.append(plain)
    if not found:
        raise TableError("The table has no rows.")
    return found


def _plain(value: Any, number: int, column: str) -> Any:
    """As a value of JSON: nothing for what is missing, ISO 8601 for dates and times."""
    if value is None or type(value).__name__ in _MISSING:
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _number(float(value), number, column)
    if isinstance(value, Mapping):
        return {str(name): _plain(one, number, column) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, number, column) for one in value]
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() or value.tzinfo else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | timedelta):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist(), number, column)
    raise TableError(
        f"row {number}, column '{column}': {type(value).__name__} is no value of JSON. Make text of it first."
    )


def _number(value: float, number: int, column: str) -> float | None:
    if math.isinf(value):
        raise TableError(f"row {number}, column '{column}': {value} is no number of JSON.")
    return None if math.isnan(value) else value


def _check_names(names: Iterable[Any]) -> None:
    """Of two columns of one name, one would be lost."""
    seen: set[str] = set()
    for name in map(str, names):
        if name in seen:
            raise TableError(f"Two columns are called '{name}'. Give each a name of its own.")
        seen.add(name)
