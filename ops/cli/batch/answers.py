"""The table again, with what was answered in a column of its own and what went wrong in another."""

from __future__ import annotations

import csv
import json
from typing import IO, TYPE_CHECKING, Any

from app import json_lines
from ops.cli.batch.tables import Rows, is_blank, row_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: (answer, error) by `custom_id`; one of the two is empty
Answers = dict[str, tuple[str, str]]


def of(line: bytes) -> tuple[str, tuple[str, str]]:
    """A line of an output or error file as `custom_id`, answer and error."""
    found: dict[str, Any] = json.loads(line)
    response = found["response"]
    if response is None:
        return found["custom_id"], ("", f"{found['error']['code']}: {found['error']['message']}")
    if response["status_code"] != 200:
        error = response["body"]["error"]
        return found["custom_id"], ("", f"{error['code'] or error['type']}: {error['message']}")
    message = response["body"]["choices"][0]["message"]
    if message.get("content") is None and message.get("tool_calls"):
        return found["custom_id"], (json.dumps(message["tool_calls"], ensure_ascii=False), "")
    refusal = message.get("refusal")
    return found["custom_id"], (message.get("content") or "", f"refused: {refusal}" if refusal else "")


def write(
    target: IO[str], kind: str, answers: Answers, *, source: Path, source_kind: str, id_column: str | None
) -> int:
    """Write the source's rows in their order with `answer` and `error`; how many have neither (yet)."""
    missing = 0
    columns: list[str] = []

    def joined() -> Iterable[tuple[dict[str, Any], str, str]]:
        nonlocal missing, columns
        for number, row in enumerate(Rows(source, source_kind), 1):
            answer, error = answers.get(row_id(row, number, id_column), (None, None))
            missing += answer is None and not is_blank(row)
            columns = columns or [free(row, "answer"), free(row, "error")]
            yield row, answer or "", error or ""

    if kind == "jsonl":
        for row, answer, error in joined():
            value = {**row, columns[0]: _parsed(answer), columns[1]: error or None}
            target.write(json_lines.line(value).decode())
        return missing
    writer = csv.writer(target, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
    is_first = True
    for row, answer, error in joined():
        if is_first:
            writer.writerow([*row, *columns])
            is_first = False
        writer.writerow([*(v if isinstance(v, str) else json.dumps(v) for v in row.values()), answer, error])
    return missing


def free(row: dict[str, Any], name: str) -> str:
    """A column's name that the row has not."""
    while name in row:
        name += "_"
    return name


def _parsed(answer: str) -> Any:
    """Structured answers as what they are, prose as a string."""
    if answer[:1] in ("{", "["):
        try:
            return json.loads(answer)
        except ValueError:
            return answer
    return answer or None
