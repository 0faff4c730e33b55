"""Tables come back as they came: what was there to the byte, or in value and type, with further columns."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.batches.formats import answers, tables
from app.batches.formats.json_file import FormatError
from app.batches.formats.selection import ALL, Selection, loaded

if TYPE_CHECKING:
    from pathlib import Path


def given_back(path: Path, kind: str | None = None, selection: Selection = ALL, as_kind: str | None = None) -> bytes:
    """The table, whose answers are the numbers of its rows, and whose errors are an `e` and a comma."""
    kind = kind or tables.format_of(path)
    target = io.BytesIO()
    answers.write(
        target,
        as_kind or kind,
        lambda custom_id: (custom_id.removeprefix("row-"), "e,"),
        source=path,
        source_kind=kind,
        id_column=None,
        selection=selection,
    )
    return target.getvalue()


def read(path: Path, selection: Selection = ALL) -> list[dict[str, Any]]:
    return list(tables.Rows(path, tables.format_of(path), selection))


@pytest.mark.parametrize(
    ("name", "sent", "back"),
    [
        ("a.csv", b"id,n\n007,NA\n\n1,\n", b'id,n,answer,error\n007,NA,1,"e,"\n\n1,,2,"e,"\n'),
        ("a.csv", b"\xef\xbb\xbfid;n\r\n1;1,5\r\n2;2,5", b"\xef\xbb\xbfid;n;answer;error\r\n1;1,5;1;e,\r\n2;2,5;2;e,"),
        ("a.csv", b'"id","n"\n"1","a ""b""\nc"\n', b'"id","n","answer","error"\n"1","a ""b""\nc","1","e,"\n'),
        ("a.csv", b"sep=|\nid|n\n1|2\n", b"sep=|\nid|n|answer|error\n1|2|1|e,\n"),
        ("a.csv", b"\nid\tn\r1\t 2 \r", b"\nid\tn\tanswer\terror\r1\t 2 \t1\te,\r"),
        ("a.csv", b"id,answer\n1,x\n", b'id,answer,answer_,error\n1,x,1,"e,"\n'),
        ("a.csv", b"id,note; long\n1,x; y\n", b'id,note; long,answer,error\n1,x; y,1,"e,"\n'),
        ("a.csv", "id;é\n1;€\n".encode("utf-16"), "\ufeffid;é;answer;error\n1;€;1;e,\n".encode("utf-16-le")),
        ("a.csv", b"name;price,net\nx;1,50\n", b"name;price,net;answer;error\nx;1,50;1;e,\n"),
        ("a.csv", b"text\nNo mark at all.\n", b'text,answer,error\nNo mark at all.,1,"e,"\n'),
        ("a.tsv", b'id\tn\n1\t5" x\n', b'id\tn\tanswer\terror\n1\t5" x\t1\te,\n'),
        ("a.csv", b"id,n", b"id,n,answer,error\n"),
        (
            "a.jsonl",
            b'{"a":1.10, "b":12345678901234567890123}\r\n\n{"answer":1e400}',
            (
                b'{"a":1.10, "b":12345678901234567890123, "answer_": "1", "error": "e,"}\r\n\n'
                b'{"answer":1e400, "answer_": "2", "error": "e,"}'
            ),
        ),
        ("a.jsonl", b"{}\n", b'{"answer": "1", "error": "e,"}\n'),
        (
            "a.json",
            b'[\n  {\n    "a": 1.0\n  },\n  {"a": "\\u00e9"} ]\n',
            (
                b'[\n  {\n    "a": 1.0,\n    "answer": "1",\n    "error": "e,"\n  },\n'
                b'  {"a": "\\u00e9", "answer": "2", "error": "e,"} ]\n'
            ),
        ),
        ("a.txt", b"one\n\ntwo\n", b'text,answer,error\none,1,"e,"\ntwo,2,"e,"\n'),
    ],
)
def test_a_table_of_text_comes_back_to_the_byte(tmp_path: Path, name: str, sent: bytes, back: bytes) -> None:
    """Delimiter, quotes, line ends, marks of byte order, numbers and blank lines are the table's own."""
    (tmp_path / name).write_bytes(sent)
    assert given_back(tmp_path / name) == back


@pytest.mark.parametrize(
    ("name", "sent", "says"),
    [
        ("a.csv", b"id,n\n1,2\n3\n", "a.csv:3: fewer fields than the header has columns: 1, not 2"),
        ("a.csv", b'id,n\n1,"2\nx"\n3,4,5\n', "a.csv:4: more fields"),
        ("a.csv", b"sep=;\nid;n\n1;2;3\n", "a.csv:3: more fields"),
        ("a.csv", b"\nid;n\n1\n", "a.csv:3: fewer fields"),
        ("a.csv", b'id,n\n1,"2\n3,4\n', "not a table: .* Is a quote left open"),
        ("a.csv", b'id,n\n1,"say \\"hi\\""\n', "a.csv:2: not a table"),
        ("a.csv", b"id;n;id\n1;2;3\n", "columns 1 and 3 are called 'id'"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(tmp_path: Path, name: str, sent: bytes, says: str) -> None:
    """A ragged row is not filled up: it may be half of one."""
    (tmp_path / name).write_bytes(sent)
    with pytest.raises(FormatError, match=says):
        read(tmp_path / name)


#: more of them: NIGHTSHIFT_FUZZ_EXAMPLES=2000
EXAMPLES = int(os.environ.get("NIGHTSHIFT_FUZZ_EXAMPLES", "60"))
CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(CELL, CELL, CELL), max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["", "\ufeff"]),
)
def test_any_csv(tmp_path: Path, rows: list[tuple[str, ...]], mark: str, quoting: Any, bom: str) -> None:
    """Whatever its cells and its dialect are, it is read verbatim, and each of its records is there to the byte."""
    made = io.StringIO()
    csv.writer(made, delimiter=mark, lineterminator="\r\n", quoting=quoting).writerows([("a", "b", "c"), *rows])
    path = tmp_path / "a.csv"
    path.write_bytes((bom + made.getvalue()).encode())
    assert [tuple(row.values()) for row in read(path)] == rows
    back = given_back(path).decode()
    cells = list(csv.reader(io.StringIO(back.removeprefix("\ufeff"), newline=""), delimiter=mark))
    assert [tuple(one[:3]) for one in cells[1:]] == rows
    assert [one[3:] for one in cells[1:]] == [[str(number), "e,"] for number, _ in enumerate(rows, 1)]
    for number in range(len(rows), 0, -1):
        quote = '"' if quoting == csv.QUOTE_ALL else ""
        error = '"e,"' if quote or mark == "," else "e,"
        head, cut, tail = back.rpartition(f"{mark}{quote}{number}{quote}{mark}{error}\r\n")
        assert cut
        back = f"{head}\r\n{tail}"
    names = f'{mark}"answer"{mark}"error"' if quoting == csv.QUOTE_ALL else f"{mark}answer{mark}error"
    assert back.replace(names, "", 1) == bom + made.getvalue()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(CELL, inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(CELL, JSON, max_size=3), min_size=1, max_size=3), st.sampled_from([None, 2]))
def test_any_json(tmp_path: Path, rows: list[dict[str, Any]], indent: int | None) -> None:
    """In an array or line by line, and of only some columns, each value is what it was."""
    path = tmp_path / ("a.json" if indent else "a.jsonl")
    path.write_text(json.dumps(rows, indent=2) if indent else "".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == rows
    back = given_back(path)
    found = json.loads(back) if indent else [json.loads(line) for line in back.splitlines()]
    assert [dict(list(row.items())[:-2]) for row in found] == rows
    columns = list(rows[0])[:1]
    if columns:
        some = given_back(path, selection=Selection(columns=tuple(columns)), as_kind="jsonl")
        assert [dict(list(json.loads(line).items())[:-2]) for line in some.splitlines()] == [
            {name: row[name] for name in columns if name in row} for row in rows
        ]


ROWS = b"id,lang,stars,text\n1,de,5,Gut\n2,en,1,Bad refund\n3,de,,\n4,fr,10,Bon\n5,de,2,REFUND!\n"


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (["lang=de"], "135"),
        (["lang!=de"], "24"),
        (["text~refund"], "25"),
        (["text!~refund", "text!="], "14"),
        (["stars<3"], "25"),
        (["stars>=5", "lang=de"], "1"),
        (["stars="], "3"),
    ],
)
def test_conditions(tmp_path: Path, where: list[str], ids: str) -> None:
    """Text as it is, parts of it without case, numbers as numbers; all of them hold."""
    path = tmp_path / "a.csv"
    path.write_bytes(ROWS)
    assert "".join(row["id"] for row in read(path, Selection(where=tuple(where)))) == ids


def test_a_part_of_a_table(tmp_path: Path) -> None:
    """Columns, rows and their number: what is chosen comes back, under the numbers that its rows have in the table."""
    path = tmp_path / "a.csv"
    path.write_bytes(ROWS)
    chosen = Selection(("text", "id"), ("lang=de",), 2)
    assert loaded(chosen.dumped()) == chosen
    assert (ALL.dumped(), loaded("")) == ("", ALL)
    assert given_back(path, selection=chosen) == b'text,id,answer,error\nGut,1,1,"e,"\n,3,3,"e,"\n'
    assert given_back(path, selection=Selection(limit=1)) == b'id,lang,stars,text,answer,error\n1,de,5,Gut,1,"e,"\n'
    assert json.loads(given_back(path, selection=chosen, as_kind="json")) == [
        {"text": "Gut", "id": "1", "answer": "1", "error": "e,"},
        {"text": "", "id": "3", "answer": "3", "error": "e,"},
    ]
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1.0, "b": [1]}, {"a": 2, "c": 1.50}]')
    assert (
        given_back(path, selection=Selection(where=("a=2",))) == b'[{"a": 2, "c": 1.50, "answer": "2", "error": "e,"}]'
    )
    assert given_back(path, selection=Selection(where=("a=3",))) == b"[]\n"
    assert given_back(path, as_kind="csv") == b'a,b,c,answer,error\n1.0,[1],,1,"e,"\n2,,1.50,2,"e,"\n'
    with pytest.raises(FormatError, match=r"--columns names 'txt', which is no column\. Did you mean 'text'"):
        given_back(tmp_path / "a.csv", selection=Selection(("txt",)))
    with pytest.raises(FormatError, match="--where 'lang' is no condition"):
        read(tmp_path / "a.csv", Selection(where=("lang",)))


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_half_a_surrogate_pair(tmp_path: Path, kind: str) -> None:
    """JSON keeps it; another format is told to be none for it."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "\\ud800"}')
    assert rb"\ud800" in given_back(path)
    with pytest.raises(FormatError, match=r"a\.jsonl: a text has half of a surrogate pair in it \(U\+D800\)"):
        given_back(path, as_kind=kind)
