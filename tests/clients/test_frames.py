"""Nightshift's own client with DataFrames, whose packages only this environment has."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

from nightshift_client import Nightshift, TableError
from nightshift_client.results import frame, series
from nightshift_client.table import of

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def test_pandas(stack: Stack) -> None:
    """The same DataFrame comes back, its index and types included, with an answer to each row."""
    table = pd.DataFrame(
        {
            "text": pd.array(["a", "b", None], dtype="string"),
            "n": pd.array([1, None, None], dtype="Int64"),
            "at": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
        },
        index=["x", "y", "z"],
    )
    with Nightshift(stack.url) as night:
        found = night.ask_each(table, "{text}|{n}|{at}", model="haiku", progress=False)
    pd.testing.assert_frame_equal(found[["text", "n", "at"]], table)
    assert list(found["answer"][:2]) == ["Simulated answer to: a|1|2026-01-01", "Simulated answer to: b||2026-01-02"]
    assert list(found["error"]) == [None] * 3 and found["answer"]["z"] is None


def test_polars(stack: Stack) -> None:
    """The same, and an answer by a schema is a struct."""
    table = pl.DataFrame({"day": [date(2026, 1, 1), None], "tags": [["a"], ["b", "c"]]})
    with Nightshift(stack.url) as night:
        batch = night.submit(table, "{day} {tags}", model="haiku", schema=SCHEMA)
        found = night.results(night.watch(batch, progress=False), table)
        assert found.select("day", "tags").equals(table)
        assert found["answer"].dtype == pl.Struct({"name": pl.String}) and found["error"].dtype == pl.String
        rows = night.results(batch)
    assert [row["day"] for row in rows] == ["2026-01-01", None]
    assert [row["answer"] for row in rows] == found["answer"].to_list()


def test_rows_as_frames() -> None:
    """Whole numbers stay whole where one is missing."""
    rows: list[dict[str, Any]] = [{"n": 2**60 + 1, "m": 1, "t": "a"}, {"n": None, "m": 2, "t": None}]
    assert frame(rows, "pandas")["n"][0] == 2**60 + 1 and str(frame(rows, "pandas")["m"].dtype) == "int64"
    assert frame(rows, "polars").to_dicts() == rows


@pytest.mark.parametrize(
    ("values", "held"),
    [
        ([{"a": 1}, {"b": 2.5}, None], [{"a": 1, "b": None}, {"a": None, "b": 2.5}, None]),
        ([{"a": 1}, {"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
        ([{"a": 1}, "cut off"], ['{"a": 1}', "cut off"]),
        ([1, 2.5, None], ["1", "2.5", None]),
        ([{"a": {"b": None}}, {"a": {"b": [{"c": 1}]}}], [{"a": {"b": None}}, {"a": {"b": [{"c": 1}]}}]),
        ([{"a": [{"b": 1}, {"c": 1}]}], [{"a": [{"b": 1, "c": None}, {"b": None, "c": 1}]}]),
    ],
)
def test_a_column_of_polars(values: list[Any], held: list[Any]) -> None:
    """What it can't hold as it is, it holds as JSON."""
    assert series("answer", values).to_list() == held


def test_what_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(TableError, match="Two columns are called 'a'"):
        of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TableError, match="pass what collect"):
        of(pl.LazyFrame({"a": [1]}))
