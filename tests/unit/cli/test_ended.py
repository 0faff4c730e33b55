"""Answers as columns: one, one for each of their fields, and what each row used."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from app.batches.formats import answers
from ops.cli.batch.ended import Ended
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "properties": {"kind": {}, "stars": {}, "note": {}, "error": {}}}


def line(row: int, content: str | None = None, error: str = "") -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": row, "prompt_tokens_details": {"cached_tokens": 4}}
    body: dict[str, Any] = {"choices": [{"message": {"content": content}}], "usage": usage}
    response = {"status_code": 200, "body": body}
    if error:
        response = {"status_code": 400, "body": {"error": {"code": "bad", "type": "x", "message": error}}}
    ours = {"way": "cli", "cost_usd": 0.5}
    return json.dumps({"custom_id": f"row-{row}", "response": response, "error": None, "nightshift": ours}).encode()


LINES = [
    line(2, '{"stars": 4, "kind": false, "note": "[1]"}'),
    line(1, '{"kind": true, "stars": 5, "note": null, "error": "none", "more": {"a": 1.5}}'),
    line(3, error="no"),
]


def table(tmp_path: Path, kind: str, lines: list[bytes] = LINES, **how: Any) -> bytes:
    """Three rows with what they ended with."""
    source = tmp_path / "a.csv"
    source.write_text("id,error\n1,x\n2,y\n3,z\n4,w\n")
    target = io.BytesIO()
    with Ended(tmp_path, **how) as ended:
        ended.add(lines)
        missing = answers.write(
            target, kind, ended.find, source=source, source_kind="csv", id_column=None, names=ended.names()
        )
    assert missing == 4 - len(lines)
    (tmp_path / "ended.db").unlink()
    return target.getvalue()


def test_a_column_for_each_field(tmp_path: Path) -> None:
    """Those of the schema in their order, then others; numbers are numbers where a format has types, and nothing is lost."""
    rows = list(csv.DictReader(io.StringIO(table(tmp_path, "csv", expand=True, schema=SCHEMA).decode())))
    assert list(rows[0]) == ["id", "error", "kind", "stars", "note", "error_", "more", "error__"]
    assert [list(row.values())[2:] for row in rows] == [
        ["true", "5", "", "none", '{"a": 1.5}', ""],
        ["false", "4", "[1]", "", "", ""],
        ["", "", "", "", "", "bad: no"],
        ["", "", "", "", "", ""],
    ]
    objects = [json.loads(one) for one in table(tmp_path, "jsonl", expand=True, schema=SCHEMA).splitlines()]
    assert (objects[0]["kind"], objects[0]["more"], objects[1]["note"]) == (True, {"a": 1.5}, "[1]")
    typed = pq.read_table(io.BytesIO(table(tmp_path, "parquet", expand=True, schema=SCHEMA, usage=True))).to_pylist()
    assert typed[0] | {"error__": None} == {
        "id": "1",
        "error": "x",
        "kind": True,
        "stars": 5,
        "note": None,
        "error_": "none",
        "more": '{"a": 1.5}',
        "error__": None,
        "input_tokens": 10,
        "cached_tokens": 4,
        "output_tokens": 1,
        "cost_usd": 0.5,
    }
    sheet = openpyxl.load_workbook(io.BytesIO(table(tmp_path, "xlsx", expand=True, schema=SCHEMA))).active
    assert sheet is not None
    assert [cell.value for cell in sheet[2]][:7] == ["1", "x", True, 5, None, "none", '{"a": 1.5}']


def test_prose_among_objects_keeps_its_column(tmp_path: Path) -> None:
    """Without a schema the fields are those of the answers; an answer without fields is in `answer`; none at all is an error."""
    found = table(
        tmp_path, "csv", [line(1, '{"b": 12345678901234567890, "a": 1}'), line(2, "I can't say.")], expand=True
    )
    assert found.decode().splitlines()[:3] == [
        "id,error,b,a,answer,error_",
        "1,x,12345678901234567890,1,,",
        "2,y,,,I can't say.,",
    ]
    with pytest.raises(StackError, match="--expand: no answer is a JSON object"):
        table(tmp_path, "csv", [line(1, "prose")], expand=True, schema=SCHEMA)


def test_what_each_row_used(tmp_path: Path) -> None:
    """Tokens and cost of each row, of those that failed as well."""
    rows = list(csv.DictReader(io.StringIO(table(tmp_path, "csv", usage=True).decode())))
    used = ["input_tokens", "cached_tokens", "output_tokens", "cost_usd"]
    assert [[row[name] for name in used] for row in rows] == [
        ["10", "4", "1", "0.5"],
        ["10", "4", "2", "0.5"],
        ["", "", "", "0.5"],
        ["", "", "", ""],
    ]


def test_answers_that_no_number_or_parser_takes(tmp_path: Path) -> None:
    """Whole numbers beside fractions lose no digit; what is nested too deeply to be read, or is no number of a sheet's, is text."""
    lines = [line(1, '{"a": 1152921504606846977, "b": 1}'), line(2, '{"a": 0.5, "b": 1e999}')]
    typed = pq.read_table(io.BytesIO(table(tmp_path, "parquet", lines, expand=True))).to_pylist()
    assert [row["a"] for row in typed] == ["1152921504606846977", "0.5", None, None]
    sheet = openpyxl.load_workbook(io.BytesIO(table(tmp_path, "xlsx", lines, expand=True))).active
    assert sheet is not None
    assert [[cell.value for cell in row][2:4] for row in sheet["A2:D3"]] == [
        ["1152921504606846977", 1],
        [0.5, "Infinity"],
    ]
    whole = [line(1, '{"a": 1152921504606846977}'), line(2, '{"a": 3}')]
    assert pq.read_table(io.BytesIO(table(tmp_path, "parquet", whole, expand=True)))["a"].type == "int64"
    deep = '{"a": ' + "[" * 100_000
    assert (
        "[" * 100_000
        in table(tmp_path, "csv", [line(1, deep), lines[0].replace(b"row-1", b"row-2")], expand=True).decode()
    )
    assert json.loads(table(tmp_path, "jsonl", [line(1, deep)]).splitlines()[0])["answer"] == deep
