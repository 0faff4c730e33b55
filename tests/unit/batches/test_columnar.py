"""Parquet and Arrow: each column comes back with its type, its values and its metadata, whatever it is."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.batches.formats import tables
from app.batches.formats.cells import as_text
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import Selection
from tests.unit.batches.test_tables import CELL, EXAMPLES, given_back, read

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = ["id", "n", "f", "small", "d", "when", "zone", "at", "for", "word", "is", "day"]
TABLE = pa.table(
    {
        "id": pa.array(["00123", "NA", None, "4"]),
        "n": pa.array([2**64 - 1, 1, None, 3], pa.uint64()),
        "f": pa.array([1.0, float("nan"), None, 1e300]),
        "small": pa.array([0.1, 2, None, 4], pa.float32()),
        "d": pa.array([Decimal("1.10"), Decimal("2.00"), None, None]),
        "when": pa.array([1_772_600_767_123_456_789, 0, None, 60_000_000_000], pa.timestamp("ns")),
        "zone": pa.array(
            [dt.datetime(2026, 3, 4, 5, tzinfo=dt.UTC)] * 2 + [None] * 2, pa.timestamp("us", "Europe/Berlin")
        ),
        "at": pa.array([dt.time(8, 30), dt.time(0, 0, 1), None, None], pa.time64("us")),
        "for": pa.array([dt.timedelta(hours=30), None, None, None], pa.duration("ns")),
        "word": pa.array(["x", "y", None, "x"]).dictionary_encode(),
        "is": pa.array([True, False, None, True]),
        "day": pa.array([dt.date(2026, 3, 4), None, None, dt.date(1, 1, 1)]),
        "nested": pa.array([{"a": [1]}, {"a": None}, None, {"a": []}]),
        "raw": pa.array([b"\xff", b"", None, b"a"]),
    }
).replace_schema_metadata({"of": "ours"})


def written(path: Path, table: pa.Table = TABLE) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3, compression="zstd")
        return path
    made = pa.ipc.new_stream(path, table.schema) if path.suffix == ".arrows" else pa.ipc.new_file(path, table.schema)
    with made as writer:
        writer.write_table(table)
    return path


def loaded(data: bytes, ending: str) -> pa.Table:
    if ending == ".parquet":
        return pq.read_table(io.BytesIO(data))
    reader = pa.ipc.open_stream(data) if ending == ".arrows" else pa.ipc.open_file(data)
    return reader.read_all()


def test_what_a_prompt_sees(tmp_path: Path) -> None:
    """Numbers have all their digits, times no zeros that say nothing; nested cells and bytes are refused by name."""
    rows = read(written(tmp_path / "a.parquet"))
    assert [as_text(rows[0][name]) for name in SHOWN] == [
        "00123",
        "18446744073709551615",
        "1",
        "0.1",
        "1.10",
        "2026-03-04 05:06:07.123456789",
        "2026-03-04 06:00:00+0100",
        "08:30:00",
        "1 day, 6:00:00",
        "x",
        "true",
        "2026-03-04",
    ]
    assert [as_text(rows[1][name]) for name in ("id", "f", "when", "at")] == ["NA", "nan", "1970-01-01", "00:00:01"]
    assert [as_text(rows[2][name]) for name in ("when", "day")] == ["1970-01-01 00:01:00", "0001-01-01"]
    for name in ("nested", "raw"):
        with pytest.raises(FormatError, match=rf"column '{name}' has cells of the type .*--columns"):
            as_text(rows[0][name])


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows"])
def test_each_column_comes_back_as_it_was(tmp_path: Path, ending: str) -> None:
    """Types, zones, nested columns and metadata too; a part of a table has what was chosen of them."""
    path = written(tmp_path / f"a{ending}")
    back = loaded(given_back(path), ending)
    assert back.select(TABLE.column_names).drop(["f"]).equals(TABLE.drop(["f"]))  # NaN is not NaN
    assert back.schema.remove(len(back.schema) - 1).remove(len(back.schema) - 2).equals(TABLE.schema)
    assert back.schema.metadata[b"of"] == b"ours"
    assert str(back["f"].to_pylist()) == str(TABLE["f"].to_pylist())
    assert back["answer"].to_pylist() == ["1", "2", None, "3"]
    some = loaded(given_back(path, selection=Selection(("nested", "id"), ("id~0",))), ending)
    assert some.to_pylist() == [{"nested": {"a": [1]}, "id": "00123", "answer": "1", "error": "e,"}]
    assert some.schema.field("nested").type == TABLE.schema.field("nested").type
    if ending == ".parquet":
        path.write_bytes(given_back(path))
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_from_one_format_to_another(tmp_path: Path) -> None:
    """Between Parquet and Arrow types are kept; JSON has numbers; what is no text is refused for text, by its column."""
    path = written(tmp_path / "a.parquet")
    assert loaded(given_back(path, as_kind="arrow"), ".arrow")["zone"].type == TABLE["zone"].type
    assert loaded(given_back(path, as_kind="arrow"), ".arrow")["word"].to_pylist() == ["x", "y", None, "x"]
    part = Selection(("id", "n", "f", "d"))
    lines = given_back(path, as_kind="jsonl", selection=part).splitlines()
    assert lines[0] == b'{"id": "00123", "n": 18446744073709551615, "f": 1, "d": 1.10, "answer": "1", "error": "e,"}'
    assert json.loads(lines[1])["f"] == "nan"
    with pytest.raises(FormatError, match="column 'nested' has cells of the type struct"):
        given_back(path, as_kind="csv")
    (tmp_path / "a.csv").write_text("id,t\n007,NA\n,\n")
    table = loaded(given_back(tmp_path / "a.csv", as_kind="parquet"), ".parquet")
    assert table.to_pylist()[0] == {"id": "007", "t": "NA", "answer": "1", "error": "e,"}


def test_what_is_no_parquet(tmp_path: Path) -> None:
    """Cut files, other files and twin columns: one line each."""
    good = written(tmp_path / "a.parquet").read_bytes()
    twins = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    cases: list[tuple[str, bytes | pa.Table, str]] = [
        ("b.parquet", good[:200], "not a file of Parquet, or a broken one"),
        ("b.parquet", b"", "not a file of Parquet"),
        ("b.parquet", twins, "columns 1 and 2 are called 'a'"),
        ("b.arrow", b"ARROW1 no", "not a file of Arrow"),
        ("b.feather", b"FEA1" + bytes(20), "Feather of version 1"),
    ]
    for name, data, says in cases:
        path = tmp_path / name
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            written(path, data)
        with pytest.raises(FormatError, match=says):
            read(path)


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows or bytes than any table has are not read."""
    from app.batches.formats import columnar, packed

    path = written(tmp_path / "a.parquet", pa.table({"a": pa.nulls(1000), "b": pa.array(["x" * 100] * 1000)}))
    monkeypatch.setattr(columnar, "MAX_ROWS", 999)
    with pytest.raises(FormatError, match="it has more than 999 rows"):
        read(path)
    monkeypatch.setattr(packed, "bound", lambda _: 100)
    with pytest.raises(FormatError, match="it holds more than 100 bytes"):
        read(path)


TEXT, COUNT = "a" * 2_000, 400
REPEATED = {
    "text": pa.array([TEXT] * COUNT),
    "bytes": pa.array([TEXT.encode()] * COUNT, pa.large_binary()),
    "fixed": pa.array([TEXT.encode()] * COUNT, pa.binary(len(TEXT))),
    "dictionary": pa.array([TEXT, None] * (COUNT // 2)).dictionary_encode(),
    "struct": pa.array([{"a": TEXT, "b": 1}] * COUNT),
    "list": pa.array([[TEXT, None, TEXT], None] * (COUNT // 2)),
    "map": pa.array([[("k", TEXT)]] * COUNT, pa.map_(pa.string(), pa.string())),
    "view": pa.array([TEXT] * COUNT, pa.string_view()),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array([TEXT] * COUNT)),
    "numbers": pa.array([[7] * 250] * COUNT),
}


@pytest.mark.parametrize(
    ("name", "ending"), [(name, ".parquet") for name in REPEATED] + [("dictionary", ".arrow"), ("view", ".arrow")]
)
def test_a_text_that_many_rows_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ending: str) -> None:
    """A small file has it once; a batch has few of the rows, and all of them are as they were."""
    from app.batches.formats import columnar

    most = 200_000
    monkeypatch.setattr(columnar, "BATCH_BYTES", most)
    path = tmp_path / f"a{ending}"
    table = pa.table({"id": pa.array(range(COUNT)), name: REPEATED[name]})
    path = written(path, table) if ending == ".arrow" else path
    if ending == ".parquet":
        pq.write_table(table, path, row_group_size=COUNT // 2 + 1, compression="zstd")
        assert path.stat().st_size < 20_000
    with columnar.ColumnarTable(path, ending[1:])._opened() as (schema, batches):
        found = list(batches())
    assert pa.Table.from_batches(found).equals(loaded(path.read_bytes(), ending))
    assert all(batch.schema.equals(schema, check_metadata=True) for batch in found)
    assert max(batch.num_rows for batch in found) <= COUNT // 2
    if (name, ending) != ("view", ".arrow"):  # each slice counts the buffer that all of them view
        assert max(batch.nbytes for batch in found) < 1.2 * most


def test_a_row_of_a_shared_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row can have a text any number of times, too: it is refused if it is more than a whole file may be."""
    from app.batches.formats import columnar, packed

    monkeypatch.setattr(columnar, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(packed, "bound", lambda _: 100_000)
    path = written(tmp_path / "a.parquet", pa.table({"a": pa.array([["x"], [TEXT] * 100])}))
    with pytest.raises(FormatError, match="it has a row of 200,000 bytes"):
        list(columnar.ColumnarTable(path, "parquet").records())


def test_an_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with the command that installs it."""
    import sys

    path = written(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        FormatError, match=r"a\.parquet: Parquet and Arrow need another package: .*claude-nightshift\[parquet\]"
    ):
        list(tables.Rows(path, "parquet"))


CELLS = {
    "n": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f": (pa.float64(), st.floats(allow_nan=False)),
    "t": (pa.string(), CELL),
    "b": (pa.binary(), st.binary(max_size=4)),
    "l": (pa.list_(pa.string()), st.lists(CELL, max_size=2)),
    "w": (pa.timestamp("ns", "UTC"), st.integers(-(2**62), 2**62)),
    "d": (pa.decimal128(20, 3), st.decimals(-(10**9), 10**9, places=3)),
}


@settings(deadline=None, max_examples=EXAMPLES // 3, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([".parquet", ".arrow", ".arrows"]))
def test_any_columns(tmp_path: Path, data: st.DataObject, ending: str) -> None:
    """Whatever is in them, and whatever types they have, they are the same in the same order."""
    count = data.draw(st.integers(1, 4))
    table = pa.table(
        {
            name: pa.array(data.draw(st.lists(st.none() | cells, min_size=count, max_size=count)), kind)
            for name, (kind, cells) in CELLS.items()
        }
    )
    back = loaded(given_back(written(tmp_path / f"a{ending}", table)), ending)
    assert back.select(table.column_names).equals(table)
    assert back.num_columns == len(CELLS) + 2
