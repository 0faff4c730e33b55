"""A table with its answers: what each line of a batch ended with, beside the row that it was made from."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.columns import free
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import ALL, Selection
from app.batches.formats.tables import FORMATS, TEXT, Rows, is_blank, row_id
from app.batches.output import cause_and_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from app.batches.formats.tables import Filled

#: in the metadata of a batch that was made from a table: the table's file, its format, and the column that names its rows
TABLE_FILE, TABLE_FORMAT, TABLE_ID = "nightshift_table", "nightshift_format", "nightshift_id_column"
#: which part of the table was meant (`Selection.dumped`)
TABLE_SELECTION = "nightshift_selection"


def of(line: bytes | dict[str, Any]) -> tuple[str, tuple[str, str]]:
    """A line of an output or error file as `custom_id`, answer and error; one of the last two is empty."""
    found: dict[str, Any] = line if isinstance(line, dict) else json.loads(line)
    if (error := cause_and_message(found)) is not None:
        return found["custom_id"], ("", ": ".join(error))
    message = _message(found["response"]["body"])
    if message.get("content") is None and message.get("tool_calls"):
        return found["custom_id"], (json.dumps(message["tool_calls"], ensure_ascii=False), "")
    refusal = message.get("refusal")
    return found["custom_id"], (message.get("content") or "", f"refused: {refusal}" if refusal else "")


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """What was answered, as a chat completion has it, by whichever endpoint."""
    if "choices" in body:
        choice = body["choices"][0]
        return choice["message"] if "message" in choice else {"content": choice["text"]}
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in body["output"] if item["type"] == "function_call"]
    texts, refusals = ("".join(part.get(kind) or "" for part in parts) for kind in ("text", "refusal"))
    return {"content": texts or None, "refusal": refusals or None, "tool_calls": calls or None}


def kind_of(kind: str, source_kind: str) -> str:
    """The format to write when `kind` is asked for: where that says nothing, the table comes back as it came."""
    return source_kind if kind == TEXT else kind


def write(
    target: IO[bytes],
    kind: str,
    find: Callable[[str], Sequence[Any] | None],
    *,
    source: Path,
    source_kind: str,
    id_column: str | None,
    names: Sequence[str] = ("answer", "error"),
    selection: Selection = ALL,
) -> int:
    """Write the source's rows in their order with further columns, `names`; how many rows have nothing in these (yet).

    `find`: the cells of these columns by `custom_id`. A column of the source keeps its name, and a new one gets another.
    Raises `FormatError` for a source that is not the table it was.
    """
    rows = Rows(source, source_kind, selection)
    kind = kind_of(kind, source_kind)
    is_json = FORMATS[kind].is_json
    columns = rows.columns
    # An answer that is JSON is a value there; a field's text is text.
    parsed = [is_json and name == "answer" for name in names]
    taken = set(columns)
    free_names = []
    for name in names:
        free_names.append(free(taken, name))
        taken.add(free_names[-1])
    is_back = kind == source_kind and rows.table.can_write_back(selection)
    # What is passed on as it is need not be looked at.
    wanted = ([id_column] if id_column else []) if is_back else None
    missing = 0

    def filled() -> Iterable[Filled]:
        nonlocal missing
        for number, row, kept in rows.records(wanted):
            found = None if row is None else find(row_id(row, number, id_column))
            missing += found is None and row is not None and not is_blank(row)
            if found is not None:
                found = [_parsed(value, is_json=one) for value, one in zip(found, parsed, strict=True)]
            yield row, kept, found

    try:
        if is_back:
            rows.table.write_back(target, filled(), free_names)
        elif kind != source_kind:
            FORMATS[kind].write(target, filled(), columns, free_names)
        else:
            rows.table.write(target, filled(), columns, free_names)
    except UnicodeEncodeError as error:
        half = f"U+{ord(error.object[error.start]):04X}"
        raise FormatError(
            f"{source}: a text has half of a surrogate pair in it ({half}), which {kind} can't have. JSON can: -o FILE.jsonl."
        ) from error
    return missing


def _parsed(value: Any, *, is_json: bool) -> Any:
    """Structured answers as what they are, prose as a string; None for none."""
    if is_json and isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return None if value == "" else value
