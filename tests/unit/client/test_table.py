"""Tables become rows of plain values, or are refused with the place and what to do."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from nightshift_client import NightshiftError, TableError
from nightshift_client.lines import Recipe, fill
from nightshift_client.results import framed
from nightshift_client.table import of

if TYPE_CHECKING:
    from pathlib import Path


def lines_of(table: Any, template: str, **how: Any) -> list[dict[str, Any]]:
    """The lines of a batch's input."""
    made = Recipe(template, how.pop("model", "haiku"), **how).lines(of(table))
    return [json.loads(line) if line else {} for line in made.split(b"\n")[:-1]]


def test_values() -> None:
    """What JSON has no value for is what people write: nothing, ISO 8601, digits."""
    row = {
        "none": None,
        "nan": float("nan"),
        "day": date(2026, 3, 4),
        "midnight": datetime(2026, 3, 4),  # noqa: DTZ001 - tables have such
        "at": datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        "long": timedelta(minutes=1),
        "money": Decimal("1.10"),
        "nested": {"a": (1, float("nan"))},
        7: True,
    }
    (found,) = of([row]).rows
    assert found == {
        "none": None,
        "nan": None,
        "day": "2026-03-04",
        "midnight": "2026-03-04",
        "at": "2026-03-04 05:06:00+00:00",
        "long": "0:01:00",
        "money": "1.10",
        "nested": {"a": [1, None]},
        "7": True,
    }


def test_an_arrow_table() -> None:
    assert of(pa.table({"id": [1, 2], "text": ["a", None]})).rows == [{"id": 1, "text": "a"}, {"id": 2, "text": None}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", '\ufeffid,text\n007,"a\nb"\n\n8,\n'),
        ("t.tsv", 'id\ttext\n007\t"a\nb"\n8\t\n'),
        ("t.jsonl", '{"id": "007", "text": "a\\nb"}\n\n{"id": "8", "text": ""}\n'),
        ("t.json", '[{"id": "007", "text": "a\\nb"},\n {"id": "8", "text": ""}]'),
    ],
)
def test_files(name: str, text: str, tmp_path: Path) -> None:
    """Cells are read verbatim, from a path of either kind."""
    path = tmp_path / name
    path.write_text(text)
    expected = [{"id": "007", "text": "a\nb"}, {"id": "8", "text": ""}]
    assert of(path).rows == of(str(path)).rows == expected


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no rows"),
        ([1], "row 1: not a dict, but int"),
        ({"a": [1]}, "No table: dict"),
        ([{"a": object()}], "row 1, column 'a': object is no value of JSON"),
        ([{"a": float("inf")}], "inf is no number of JSON"),
        ([{1: "a", "1": "b"}], "Two columns are called '1'"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "Two columns are called 'a'"),
        ("missing.csv", "missing.csv: No such file"),
        ("missing.parquet", "Read it with pandas or polars"),
        ("missing.xlsx", "`nightshift batch submit` reads them"),
    ],
)
def test_what_is_no_table(table: Any, message: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(TableError, match=message):
        of(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", "Two columns are called 'a'"),
        ("a\n1,2\n", ":2: more fields than the header has columns: 2, not 1"),
        ("a,b\n1,2\n3\n", ":3: fewer fields than the header has columns: 1, not 2"),
        ("sep=;\na;b\n1\n", ":3: fewer fields than the header has columns: 1, not 2"),
        ('a,b\n1,"2\n', "not a table: .*Is a quote left open"),
    ],
)
def test_what_is_no_csv(text: str, message: str, tmp_path: Path) -> None:
    """It is not guessed."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        of(path)


@pytest.mark.parametrize(
    "text",
    [
        'id;text\n007;1,5\n008;"a;b"\n',
        "\ufeffid;text\r\n007;x\r\n",
        "sep=|\nid|text\n007|a;b\n",
        "id\ttext\n007\ta, b\n",
        "id,text\n007,a;b\n \n008,c\n",
        "Dear Sir, or Madam;id\nx, y;007\n",
        "text\n007\n",
        "id,text\n" + "007,b\n" * 201 + "008,c\n",
        "id;text\n" + '007;"' + "x\n" * 300_000 + '"\n',
    ],
)
def test_csv_is_the_commands(text: str, tmp_path: Path) -> None:
    """The same mark is found, and each cell is the same."""
    from app.batches.formats.delimited import Delimited

    path = tmp_path / "t.csv"
    path.write_text(text, newline="")
    assert of(path).rows == [row for row, _ in Delimited(path).records() if row is not None]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_package_that_is_not_there(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(NightshiftError, match=f"needs {kind}, which is not installed: pip install {kind}"):
        framed([{"a": 1}], kind)


def test_lines() -> None:
    """Each row is a request of OpenAI's; a blank one is none, and keeps the numbers of those that follow."""
    rows = [{"id": "x", "n": 1}, {"id": " ", "n": None}, OrderedDict(id="\ud83d", n=[1])]
    schema = {"title": "A city", "type": "object"}
    first, blank, last = lines_of(rows, "{id}: {n} {{}}", system="Short.", schema=schema, body={"max_tokens": 9})
    assert first == {
        "custom_id": "row-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "haiku",
            "messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "x: 1 {}"}],
            "max_tokens": 9,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "A_city", "schema": schema, "strict": True},
            },
        },
    }
    assert blank == {}
    assert (last["custom_id"], last["body"]["messages"][1]["content"]) == ("row-3", "\ud83d: [1] {}")
    assert [line["custom_id"] for line in lines_of([{"k": 7}], "{k}", id_column="k")] == ["7"]


def test_the_template_is_the_commands() -> None:
    """The same row and template make the same prompt."""
    from app.batches.formats import template

    row = {"a b": "x{y}", "n": 1.5, "l": ["é", {"k": True}], "t": "{a b}", "none": None}
    text = "{{{a b}}} {n} {l} {t} {none} {} {\n} }}{{ {none|no one} {a b|x}"
    assert fill(text, row, 1) == template.fill(text, row, 1)


@pytest.mark.parametrize(
    ("template", "how", "message"),
    [
        ("Say hello.", {}, "names no column"),
        ("{a} or {a", {}, "has '{a' without the '}'"),
        ("{b}", {}, "names 'b', which is no column. There are: a"),
        ("{a}", {"id_column": "b"}, "no column 'b'"),
        ("{a}", {"schema": "x"}, "a JSON schema as a dict"),
        ("{a}", {"body": {"model": "x"}}, "'body' can't have model"),
    ],
)
def test_what_makes_no_lines(template: str, how: dict[str, Any], message: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(TableError, match=message):
        lines_of([{"a": 1}], template, **how)


def test_a_model_of_pydantic() -> None:
    """It is its schema."""
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    (line,) = lines_of([{"a": 1}], "{a}", schema=City)
    assert line["body"]["response_format"]["json_schema"] == {
        "name": "City",
        "schema": City.model_json_schema(),
        "strict": True,
    }
