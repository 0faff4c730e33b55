"""What was answered to each row of a table, and what went wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.batches.formats.tables import FORMATS, TEXT, Rows, is_blank, row_id
from app.batches.output import cause_and_message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import IO

    from app.batches.formats.tables import Answered

#: (answer, error) by `custom_id`; one of the two is empty
Answers = dict[str, tuple[str, str]]


def of(line: bytes) -> tuple[str, tuple[str, str]]:
    """A line of an output or error file as `custom_id`, answer and error."""
    found: dict[str, Any] = json.loads(line)
    if (error := cause_and_message(found)) is not None:
        return found["custom_id"], ("", ": ".join(error))
    message = found["response"]["body"]["choices"][0]["message"]
    if message.get("content") is None and message.get("tool_calls"):
        return found["custom_id"], (json.dumps(message["tool_calls"], ensure_ascii=False), "")
    refusal = message.get("refusal")
    return found["custom_id"], (message.get("content") or "", f"refused: {refusal}" if refusal else "")


def write(
    target: IO[str], kind: str, answers: Answers, *, source: Path, source_kind: str, id_column: str | None
) -> int:
    """Write the source's rows in their order with `answer` and `error`; how many have neither (yet)."""
    missing = 0

    def joined() -> Iterable[Answered]:
        nonlocal missing
        for number, row in enumerate(Rows(source, source_kind), 1):
            answer, error = answers.get(row_id(row, number, id_column), (None, None))
            missing += answer is None and not is_blank(row)
            yield row, answer or "", error or ""

    # Where nothing else is asked for, the table comes back as it came.
    FORMATS[source_kind if kind == TEXT else kind].write(target, joined())
    return missing
