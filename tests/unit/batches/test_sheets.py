# ruff: noqa: DTZ001 - a sheet knows no zones
"""XLSX: a sheet comes back in its own workbook, in which nothing else has changed."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.styles import Font
from openpyxl.worksheet.table import Table

from app.batches.formats import cells, sheet_writer, tables
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import Selection
from tests.unit.batches.test_tables import CELL, EXAMPLES, given_back, read

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ["id", "text", "n", "when", "at", "for", "is", "code"]
ROWS: list[list[Any]] = [
    ["00123", "=no formula", 0.1 + 0.2, datetime(2026, 3, 4, 5, 6, 7), time(8, 30), timedelta(hours=30), True, 7],
    ["NA", "a\nb\t<&>]]> A_x0041_", 12345678901234567890, datetime(2026, 3, 4), None, None, False, 42],
    [None] * 8,
    ["n/a", "None", -1.5e300, date(1999, 12, 31), time(0, 0, 1), timedelta(0), None, None],
]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A hidden sheet first, then the one that is meant, with styles, formulas, gaps and a merged cell; and another."""
    made = openpyxl.Workbook()
    hidden = made.active
    assert hidden is not None
    hidden.title, hidden.sheet_state = "Hidden", "hidden"
    hidden.append(["id"])
    sheet = made.create_sheet("Re & views")
    for row in ([], HEADER, *ROWS):
        sheet.append(row)
    for row in sheet.iter_rows():
        for cell in row:
            if isinstance(cell.value, str):
                cell.data_type = "s"
    sheet["H3"].number_format = sheet["H4"].number_format = "00000"
    sheet["H2"].font = Font(bold=True)
    sheet["K6"].font = Font(bold=True)  # a cell with nothing but a style, beyond the table
    sheet.column_dimensions["B"].width = 50
    sheet.add_table(Table(displayName="T", ref="A2:H6"))
    other = made.create_sheet("Other")
    other.append(["=1+1", "x"])
    made.save(path := tmp_path / "book.xlsx")
    return path.rename(tmp_path / "book")  # a copy that is read has no ending


def rows_of(path: Path, selection: Selection) -> list[dict[str, Any]]:
    return list(tables.Rows(path, "xlsx", selection))


def values(data: bytes, sheet: str) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in openpyxl.load_workbook(io.BytesIO(data))[sheet].iter_rows()]


def test_what_a_prompt_sees(book: Path) -> None:
    """Text is text; numbers and dates are as the sheet shows them; a time is no day of 1899."""
    rows = list(tables.Rows(book, "xlsx").numbered())
    assert [number for number, _ in rows] == [1, 2, 3]
    texts = [{name: cells.as_text(value) for name, value in row.items()} for _, row in rows]
    assert texts[0] == dict(
        zip(
            HEADER,
            ["00123", "=no formula", "0.3", "2026-03-04 05:06:07", "08:30:00", "1 day, 6:00:00", "true", "00007"],
            strict=False,
        )
    )
    assert texts[1]["text"] == "a\nb\t<&>]]> AA"
    assert texts[1] | {"text": ""} == dict(
        zip(HEADER, ["NA", "", "1.23456789012346e+19", "2026-03-04", "", "", "false", "00042"], strict=False)
    )
    assert texts[2] == dict(
        zip(HEADER, ["n/a", "None", "-1.5e+300", "1999-12-31", "00:00:01", "0:00:00", "", ""], strict=False)
    )


def test_a_sheet_comes_back_in_its_workbook(book: Path) -> None:
    """Each value, type and style is there, other sheets are the same to the byte, and the new columns are beside the table."""
    back = given_back(book, "xlsx")
    before = openpyxl.load_workbook(io.BytesIO(book.read_bytes()))["Re & views"]
    after = openpyxl.load_workbook(io.BytesIO(back))["Re & views"]
    for row in before.iter_rows(max_col=8):
        for cell in row:
            same = after[cell.coordinate]
            assert (cell.value, cell.data_type, cell.number_format, cell.font.b) == (
                same.value,
                same.data_type,
                same.number_format,
                same.font.b,
            )
    assert [[cell.value for cell in row] for row in after.iter_rows(min_col=9)] == [
        [None, None],
        ["answer", "error"],
        ["1", "e,"],
        ["2", "e,"],
        [None, None],
        ["3", "e,"],
    ]
    assert after["I2"].font.b
    assert after.column_dimensions["B"].width == 50
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(io.BytesIO(back)) as new:
        assert old.namelist() == new.namelist()
        changed = [name for name in old.namelist() if old.read(name) != new.read(name)]
    assert changed == ["xl/worksheets/sheet2.xml"]


def test_some_of_a_sheet(book: Path) -> None:
    """A part of it is a new workbook: values, types and number formats; another sheet is named."""
    back = given_back(book, "xlsx", selection=Selection(("code", "when", "text"), ("code~00",)))
    sheet = openpyxl.load_workbook(io.BytesIO(back))["Re & views"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["code", "when", "text", "answer", "error"],
        [7, datetime(2026, 3, 4, 5, 6, 7), "=no formula", "1", "e,"],
        [42, datetime(2026, 3, 4), "a\nb\t<&>]]> AA", "2", "e,"],
    ]
    assert (sheet["A2"].number_format, sheet["C2"].data_type) == ("00000", "s")
    back = given_back(book, "xlsx", selection=Selection(limit=1))
    assert len(values(back, "Re & views")) == 2
    with pytest.raises(FormatError, match=r"no sheet 'Re&views'\. Did you mean 'Re & views'\? There are: Hidden, Re"):
        rows_of(book, Selection(sheet="Re&views"))
    assert rows_of(book, Selection(sheet="Hidden")) == []
    lines = given_back(book, "xlsx", as_kind="jsonl").splitlines()
    assert json.loads(lines[0]) | {"for": 0} == {
        "id": "00123",
        "text": "=no formula",
        "n": 0.3,
        "when": "2026-03-04 05:06:07",
        "at": "08:30:00",
        "for": 0,
        "is": True,
        "code": "00007",
        "answer": "1",
        "error": "e,",
    }


@settings(deadline=None, max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(CELL, CELL), max_size=3))
def test_any_text_as_a_workbook_and_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """Whatever the cells of another format are, they are the same text in XLSX."""
    (tmp_path / "a.json").write_text(json.dumps([{"a": "x", "b": "y"}, *({"a": a, "b": b} for a, b in rows)]))
    path = tmp_path / "a.xlsx"
    path.write_bytes(given_back(tmp_path / "a.json", as_kind="xlsx"))
    found = [tuple(row[name] or "" for name in "ab") for row in read(path)]
    assert found == [("x", "y"), *rows]
    path.write_bytes(given_back(path))
    assert [tuple(row[name] or "" for name in "ab") for row in read(path)] == [("x", "y"), *rows]


def test_what_a_spreadsheet_would_alter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole number it keeps 15 digits, and it counts characters as UTF-16 does; a table that is too long is an error."""
    path, book = tmp_path / "a.jsonl", tmp_path / "a.xlsx"
    path.write_text('{"id": 1234567890123456789, "n": 123456789012345, "x": 1e400}')
    book.write_bytes(given_back(path, as_kind="xlsx"))
    assert list(read(book)[0].values())[:3] == ["1234567890123456789", 123456789012345, "1e400"]
    path.write_text(json.dumps({"a": "\U0001f600" * 20_000}))
    with pytest.raises(FormatError, match="a text of 40,000 characters"):
        given_back(path, as_kind="xlsx")
    monkeypatch.setattr(sheet_writer, "MAX_ROWS", 2)
    path.write_text('{"a": 1}\n{"a": 2}')
    with pytest.raises(FormatError, match="A sheet of XLSX has 2 rows"):
        given_back(path, as_kind="xlsx")


def test_what_is_no_workbook(tmp_path: Path, book: Path) -> None:
    """A password, a cut file, a column without a name, a formula nobody has computed, a bomb: one line each."""
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0" + b"x" * 1000)
    with pytest.raises(FormatError, match="protected by a password"):
        read(path)
    for data in (b"PK\x03\x04 cut", book.read_bytes()[:3000], b""):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"a\.xlsx: not a workbook of XLSX, or a broken one"):
            read(path)
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[:700] if "sheet2" in name else old.read(name))
    with pytest.raises(FormatError, match=r"a\.xlsx: the workbook is broken"):
        read(path)
    for number, says in ((b"9999999999", "below row 1,048,576"), (b"x", "the workbook is broken")):
        with zipfile.ZipFile(book) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b'<row r="5"', b'<row r="%s"' % number))
        with pytest.raises(FormatError, match=says):
            read(path)
    for name in ("xl/workbook.xml", "xl/worksheets/sheet2.xml"):
        broken = bytearray(book.read_bytes())
        with zipfile.ZipFile(book) as old:
            begin = old.getinfo(name).header_offset + 30 + len(name)
        broken[begin : begin + 20] = b"\xff" * 20
        path.write_bytes(broken)
        with pytest.raises(FormatError, match="broken"):
            read(path)
    sheets: list[tuple[list[list[Any]], str]] = [
        ([["id", None], [1, 2]], "cell B2 is in a column without a name in the header"),
        ([["id", "id"], [1, 2]], "columns 1 and 2 are called 'id'"),
        ([["id"], [1, None, "=A2"]], "the formula in cell C2 has no value"),
        ([["id", "sum"], [1, "=A2"]], "the formula in cell B2 has no value"),
    ]
    for rows, says in sheets:
        made = openpyxl.Workbook()
        assert made.active is not None
        for row in rows:
            made.active.append(row)
        made.save(path)
        with pytest.raises(FormatError, match=says):
            read(path)
    assert [row["id"] for _, row in tables.Rows(path, "xlsx").numbered({"id"})] == [1]
    with pytest.raises(FormatError, match="--sheet is for XLSX; csv has no sheets"):
        read(path.with_suffix(".csv"), Selection(sheet="x"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("xl/worksheets/sheet1.xml", b"<" * 70_000_000)
    with pytest.raises(FormatError, match="it holds more than 67,108,864 bytes"):
        read(path)
    path = tmp_path / "b.csv"
    path.write_text("id\n" + "x" * 40_000)
    with pytest.raises(FormatError, match="a text of 40,000 characters, and a cell of XLSX takes 32,767"):
        given_back(path, as_kind="xlsx")
