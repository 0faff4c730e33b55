"""A table with its answers: what each line of a batch ended with, beside the row that it was made from."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.tables import FORMATS, TEXT, Rows, is_blank, row_id
from app.batches.output import cause_and_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from app.batches.formats.tables import Answered

#: in the metadata of a batch that was made from a table: the table's file, its format, and the column that names its rows
TABLE_FILE, TABLE_FORMAT, TABLE_ID = "nightshift_table", "nightshift_format", "nightshift_id_column"


def of(line: bytes) -> tuple[str, tuple[str, str]]:
    """A line of an output or error file as `custom_id`, answer and error; one of the last two is empty."""
    found: dict[str, Any] = json.loads(line)
    if (error := cause_and_message(found)) is not None:
        return found["custom_id"], ("", ": ".join(error))
    message = found["response"]["body"]["choices"][0]["message"]
    if message.get("content") is None and message.get("tool_calls"):
        return found["custom_id"], (json.dumps(message["tool_calls"], ensure_ascii=False), "")
    refusal = message.get("refusal")
    return found["custom_id"], (message.get("content") or "", f"refused: {refusal}" if refusal else "")


def kind_of(kind: str, source_kind: str) -> str:
    """The format to write when `kind` is asked for: where that says nothing, the table comes back as it came."""
    return source_kind if kind == TEXT else kind


def write(
    target: IO[str],
    kind: str,
    find: Callable[[str], tuple[str, str] | None],
    *,
    source: Path,
    source_kind: str,
    id_column: str | None,
) -> int:
    """Write the source's rows in their order with `answer` and `error`; how many have neither (yet).

    `find`: answer and error by `custom_id`. Raises `FormatError` for a source that is not the table it was.
    """
    missing = 0

    def joined() -> Iterable[Answered]:
        nonlocal missing
        for number, row in enumerate(Rows(source, source_kind), 1):
            found = find(row_id(row, number, id_column))
            missing += found is None and not is_blank(row)
            answer, error = found or ("", "")
            yield row, answer, error

    FORMATS[kind_of(kind, source_kind)].write(target, joined())
    return missing
