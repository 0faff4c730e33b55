"""Small tables as other programs write them (`tables/`): each is read without a wrong cell, and comes back as it was.

All of them say the same: `ROWS`. Their names say what wrote them, or which dialect they are in.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from app.batches.formats import tables
from app.batches.formats.cells import as_text
from app.batches.formats.tables import FORMATS
from tests.unit.batches.test_tables import given_back

HOLD = sorted((Path(__file__).parent / "tables").iterdir())
COLUMNS = ("id", "text", "n", "day")
ROWS = [
    ("007", "ünï = 1", "1.5", "2026-03-04"),
    ("NA", "=x", "1234567", "1999-12-31"),
    ("+49 30", "a\nb", "-0.25", "2000-01-01"),
]


def texts(path: Path, kind: str | None = None) -> list[tuple[str, ...]]:
    rows = tables.Rows(path, kind or tables.format_of(path)).numbered(COLUMNS)
    return [tuple(as_text(row[name]) for name in COLUMNS) for _, row in rows]


def test_there_are_many() -> None:
    """Of each format some."""
    assert len(HOLD) >= 40
    assert {tables.format_of(path) for path in HOLD} == set(FORMATS) - {"text"}


@pytest.mark.parametrize("path", HOLD, ids=lambda path: path.name)
def test_no_cell_is_wrong(path: Path, tmp_path: Path) -> None:
    """Read, given back, read again, and given back as each other format: the same cells. What was there is there."""
    assert texts(path) == ROWS
    kind = tables.format_of(path)
    back = given_back(path)
    again = tmp_path / path.name
    again.write_bytes(back)
    assert texts(again) == ROWS
    CHECKS[kind](path.read_bytes(), back)
    for other in ("csv", "json", "xlsx", "parquet"):
        if other != kind:
            made = tmp_path / f"made.{other}"
            made.write_bytes(given_back(path, as_kind=other))
            assert texts(made) == ROWS


def _records(before: bytes, back: bytes) -> None:
    """Without the new cells it is the same to the byte."""
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(before[:2], "utf-8")
    text = back.decode(encoding)
    for mark in ",;\t|":
        for number in ("1", "2", "3", "answer"):
            for quote in ("", '"'):
                for error in ("e,", '"e,"', "error", '"error"'):
                    text = text.replace(f"{mark}{quote}{number}{quote}{mark}{error}", "")
    assert text == before.decode(encoding)


def _objects(before: bytes, back: bytes) -> None:
    decoder = json.JSONDecoder()

    def values(data: bytes) -> list[dict[str, object]]:
        text = data.decode("utf-8-sig").strip().removeprefix("[")
        found = []
        while text := text.lstrip(" \t\r\n,").removeprefix("]"):
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:]
        return found

    further = [{"answer": str(number), "error": "e,"} for number in (1, 2, 3)]
    assert values(back) == [one | more for one, more in zip(values(before), further, strict=True)]
    assert back.startswith(before[:4])


def _workbook(before: bytes, back: bytes) -> None:
    old, new = (openpyxl.load_workbook(io.BytesIO(data)) for data in (before, back))
    assert old.sheetnames == new.sheetnames
    for sheet in old.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                same = new[sheet.title][cell.coordinate]
                if same.value is not None or cell.value is not None:
                    kept = (cell.value, cell.data_type, cell.number_format)
                    assert kept == (same.value, same.data_type, same.number_format) or cell.value is None
    with zipfile.ZipFile(io.BytesIO(before)) as one, zipfile.ZipFile(io.BytesIO(back)) as two:
        changed = [name for name in one.namelist() if one.read(name) != two.read(name)]
    assert len(changed) == 1


def _parquet(before: bytes, back: bytes) -> None:
    _columns(pq.read_table(io.BytesIO(before)), pq.read_table(io.BytesIO(back)))


def _arrow(before: bytes, back: bytes) -> None:
    _columns(
        *(
            pa.ipc.open_file(data).read_all() if data[:6] == b"ARROW1" else pa.ipc.open_stream(data).read_all()
            for data in (before, back)
        )
    )


def _columns(before: pa.Table, back: pa.Table) -> None:
    assert back.select(before.column_names).equals(before, check_metadata=True) or (
        back.select(before.column_names).cast(before.schema).equals(before)
    )
    assert back["answer"].to_pylist() == ["1", "2", "3"]


CHECKS = {
    "csv": _records,
    "tsv": _records,
    "json": _objects,
    "jsonl": _objects,
    "xlsx": _workbook,
    "parquet": _parquet,
    "arrow": _arrow,
}
