"""Tables become requests by a template, and come back with their answers, row by row."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from app.cli import main
from app.cli.batch import answers, tables

if TYPE_CHECKING:
    from pathlib import Path


def requests(path: Path, template: str, kind: str | None = None, **recipe: Any) -> list[dict[str, Any]]:
    found = tables.Recipe(template, **recipe)
    rows = tables.rows(path, kind or tables.format_of(path))
    return [tables.request(row, number, found) for number, row in enumerate(rows, 1)]


def test_a_csv_with_everything(tmp_path: Path) -> None:
    """Columns go into the template; the id column names the request; quotes, breaks and braces are text."""
    path = tmp_path / "reviews.csv"
    path.write_text('id,text,stars\nr1,"good, ""very""\nreally",5\nr2,{stars},1\n', encoding="utf-8-sig")
    first, second = requests(path, "Of {stars}: {text} {{}}", model="haiku", system="Be brief.", id_column="id")
    assert first["custom_id"] == "r1"
    assert first["body"]["model"] == "haiku"
    assert [one["content"] for one in first["body"]["messages"]] == ["Be brief.", 'Of 5: good, "very"\nreally {}']
    assert second["body"]["messages"][1]["content"] == "Of 1: {stars} {}"


def test_text_and_jsonl(tmp_path: Path) -> None:
    """Each line that is not blank is a row: `text`, or the object's fields, whose values may be anything."""
    (tmp_path / "a.txt").write_text("one\n\ntwo\u2028three\n")
    found = requests(tmp_path / "a.txt", "Say {text}")
    assert [one["body"]["messages"][0]["content"] for one in found] == ["Say one", "Say two\u2028three"]
    assert [one["custom_id"] for one in found] == ["row-1", "row-2"]
    (tmp_path / "a.jsonl").write_text('{"n": 7, "tags": ["ü"]}\n')
    (only,) = requests(tmp_path / "a.jsonl", "{n} {tags}", id_column="n")
    assert (only["custom_id"], only["body"]["messages"][0]["content"]) == ("7", '7 ["ü"]')


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The template's and the id's names are checked against the columns there are."""
    (tmp_path / "a.csv").write_text("text\nhi\n")
    with pytest.raises(tables.TableError, match="row 1: the template names 'txet'; there are: text"):
        requests(tmp_path / "a.csv", "{txet}")
    with pytest.raises(tables.TableError, match="no column 'id'"):
        requests(tmp_path / "a.csv", "{text}", id_column="id")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", "text\nMühe\n".encode("latin-1"), "not UTF-8"),
        ("a.txt", b"a\xff\n", "not UTF-8"),
        ("a.csv", b'text\n"' + b"x" * 200_000 + b'"\n', "field larger"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not valid JSON"),
        ("a.jsonl", b"[]", "a.jsonl:1: not a JSON object"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """Old encodings, cells without end, depths: told with the file's name."""
    (tmp_path / name).write_bytes(data)
    assert not tables.is_requests(tmp_path / name)
    with pytest.raises(tables.TableError, match=says):
        requests(tmp_path / name, "{text}")


def line(custom_id: str, content: str | None = None, error: str = "", **message: Any) -> bytes:
    body: dict[str, Any] = {"choices": [{"message": {"content": content, **message}}]}
    response: dict[str, Any] = {"status_code": 200, "request_id": "req_1", "body": body}
    if error:
        response = {
            "status_code": 400,
            "body": {"error": {"code": None, "type": "invalid_request_error", "message": error}},
        }
    return json.dumps({"custom_id": custom_id, "response": response, "error": None}).encode()


def test_a_table_comes_back_with_its_answers(tmp_path: Path) -> None:
    """The rows in their order, with `answer` and `error`; what has neither is counted."""
    path = tmp_path / "a.csv"
    path.write_text("id,answer\nb,x\na,y\nc,z\nd,w\n")
    unrun = json.dumps(
        {"custom_id": "c", "response": None, "error": {"code": "batch_expired", "message": "late"}}
    ).encode()
    found = dict(answers.of(one) for one in (line("a", "A, of course"), line("b", error="no"), unrun))
    target = io.StringIO()
    assert answers.write(target, "csv", found, source=path, source_kind="csv", id_column="id") == 1
    assert target.getvalue().splitlines() == [
        "id,answer,answer_,error",
        "b,x,,invalid_request_error: no",
        'a,y,"A, of course",',
        "c,z,,batch_expired: late",
        "d,w,,",
    ]


def test_structured_answers_are_objects_in_jsonl(tmp_path: Path) -> None:
    """In JSONL an answer that is JSON stands there as what it is; tool calls and refusals are not lost."""
    path = tmp_path / "a.txt"
    path.write_text("1\n2\n3\n")
    sent = (
        line("row-1", '{"stars": 5}'),
        line("row-2", None, refusal="I won't."),
        line("row-3", None, tool_calls=[{"id": "x"}]),
    )
    target = io.StringIO()
    found = dict(map(answers.of, sent))
    assert answers.write(target, "jsonl", found, source=path, source_kind="text", id_column=None) == 0
    assert [json.loads(one) for one in target.getvalue().splitlines()] == [
        {"text": "1", "answer": {"stars": 5}, "error": None},
        {"text": "2", "answer": None, "error": "refused: I won't."},
        {"text": "3", "answer": [{"id": "x"}], "error": None},
    ]


def test_validate_needs_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault is named with its line, and the exit status says whether there was one."""
    path = tmp_path / "night.jsonl"
    good = tables.request({"text": "hi"}, 1, tables.Recipe("{text}"))
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "url": "/v1/x"}) + "\nx\n")
    assert main.main(["batch", "validate", str(path)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"{path}:2: url_mismatch: ")
    assert told[1].startswith(f"{path}:3: invalid_json_line: ")
    path.write_text(json.dumps(good))
    assert main.main(["batch", "validate", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"requests": 1, "errors": []}


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table without a template, options without one, and no server: told in words, without a traceback."""
    path = tmp_path / "a.csv"
    path.write_text("text\nhi\n")
    assert main.main(["batch", "validate", str(path)]) == 2
    assert "--template" in capsys.readouterr().err
    assert main.main(["batch", "validate", str(path), "--system", "x"]) == 2
    assert main.main(["batch", "list", "--url", "http://127.0.0.1:9"]) == 1
    assert "nightshift up" in capsys.readouterr().err
