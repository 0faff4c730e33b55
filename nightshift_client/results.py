"""A table with its answers: what became of each row's request, in the table's order, as dicts or as a DataFrame."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from nightshift_client.errors import NightshiftError, TableError
from nightshift_client.lines import row_id
from nightshift_client.table import is_blank

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nightshift_client.table import Kind, Row, Table

#: answer and error of a request; one of the two is None, but for a refusal's text
Outcome = tuple[Any, str | None]


def outcomes(output: bytes, errors: bytes, *, as_json: bool) -> dict[str, Outcome]:
    """By `custom_id`, of the lines of both files. `as_json`: answers are values of JSON, not text."""
    return dict(_outcome(line, as_json=as_json) for line in (output + errors).split(b"\n") if line)


def joined(table: Table, found: dict[str, Outcome], id_column: str | None, kind: Kind | None, *, is_whole: bool) -> Any:
    """The table with the columns `answer` and `error` (with `_` behind, if it has such), of that kind, or of its own.

    Raises `TableError` for a table that is not the one that the answers belong to.
    """
    ids = [row_id(row, number, id_column) for number, row in enumerate(table.rows, 1)]
    if (strange := found.keys() - set(ids)) or (
        is_whole and any(one not in found and not is_blank(row) for one, row in zip(ids, table.rows, strict=True))
    ):
        example = min(strange, default="")
        raise TableError(
            "This is not the table that the batch was made of: its rows are others"
            + (f" (there is an answer to '{example}')." if strange else " (there is no answer to some).")
        )
    pairs = [found.get(one, (None, None)) for one in ids]
    names = free(table.columns, "answer"), free(table.columns, "error")
    kind = kind or table.kind
    if kind == table.kind and kind != "dicts":
        return _beside(table, names, pairs)
    rows = [{**row, names[0]: answer, names[1]: error} for row, (answer, error) in zip(table.rows, pairs, strict=True)]
    return framed(rows, kind)


def has_outcome(row: Row) -> bool:
    """Whether a row of a table with its answers, which are in the last two columns, has one."""
    return any(value is not None for value in list(row.values())[-2:])


def framed(rows: list[Row], kind: Kind) -> Any:
    """Rows as what is asked for."""
    return rows if kind == "dicts" else frame(rows, kind)


def frame(rows: list[Row], kind: Kind) -> Any:
    """Rows as a DataFrame. Raises `NightshiftError` if its package is not installed."""
    try:
        module: Any = importlib.import_module(kind)
    except ModuleNotFoundError as error:
        if error.name != kind:
            raise
        raise NightshiftError(
            f'as_="{kind}" needs {kind}, which is not installed: pip install {kind}. as_="dicts" needs nothing.'
        ) from error
    if kind == "pandas":
        # By itself it would make fractions of whole numbers where one is missing.
        return module.DataFrame(rows, dtype=object).infer_objects()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return module.DataFrame([series(name, [row.get(name) for row in rows]) for name in columns])


def series(name: str, values: list[Any]) -> Any:
    """A column of polars, which has one type: values that have several, or would be altered, are JSON in text."""
    import polars as pl  # noqa: PLC0415 - optional

    if objects := [one for one in values if isinstance(one, dict)]:
        # Of several objects it would know the first one's fields only.
        fields = list(dict.fromkeys(field for one in objects for field in one))
        values = [{field: one.get(field) for field in fields} if isinstance(one, dict) else one for one in values]
    try:
        found = pl.DataFrame({name: values}, infer_schema_length=None, nan_to_null=False)[name]
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        found = None
    if found is None or not all(map(_is_same, values, found.to_list())):
        texts = [one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values]
        return pl.Series(name, texts, dtype=pl.String)
    return found.cast(pl.String) if found.dtype == pl.Null else found


def free(columns: Iterable[str], name: str) -> str:
    """A column's name that is not taken."""
    taken = set(columns)
    while name in taken:
        name += "_"
    return name


def _beside(table: Table, names: tuple[str, str], pairs: list[Outcome]) -> Any:
    """The DataFrame as it was given, its types and its index included, with two columns more."""
    answers, errors = [answer for answer, _ in pairs], [error for _, error in pairs]
    if table.kind == "pandas":
        import pandas as pd  # noqa: PLC0415 - optional

        index = table.source.index
        added = {
            name: pd.Series(values, index=index, dtype=object)
            for name, values in zip(names, (answers, errors), strict=True)
        }
        return table.source.assign(**added)
    return table.source.with_columns(series(names[0], answers), series(names[1], errors))


def _outcome(line: bytes, *, as_json: bool) -> tuple[str, Outcome]:
    found: dict[str, Any] = json.loads(line)
    response = found["response"]
    if response is None or response["status_code"] != 200:
        error = found["error"] if response is None else response["body"]["error"]
        return found["custom_id"], (None, f"{error['code'] or error['type']}: {error['message']}")
    message = _message(response["body"])
    content, calls, refusal = message.get("content"), message.get("tool_calls"), message.get("refusal")
    answer = calls if content is None and calls else _parsed(content) if as_json else content
    return found["custom_id"], (answer, f"refused: {refusal}" if refusal else None)


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """What was answered, as a chat completion has it, by whichever endpoint: others may have made the batch."""
    if "choices" in body:
        choice = body["choices"][0]
        return choice["message"] if "message" in choice else {"content": choice["text"]}
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in body["output"] if item["type"] == "function_call"]
    texts, refusals = ("".join(part.get(kind) or "" for part in parts) for kind in ("text", "refusal"))
    return {"content": texts or None, "refusal": refusals or None, "tool_calls": calls or None}


def _is_same(given: Any, held: Any) -> bool:
    """Whether nothing was altered; a field that is not there may be one without a value."""
    if isinstance(given, dict) and isinstance(held, dict):
        return all(_is_same(given.get(name), held.get(name)) for name in {**given, **held})
    if isinstance(given, list) and isinstance(held, list):
        return len(given) == len(held) and all(map(_is_same, given, held))
    return type(given) is type(held) and given == held


def _parsed(content: str | None) -> Any:
    """What a schema asked for. An answer that was cut off is none, and stays text: `finish_reason` was `length`."""
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return content
