"""Tables become requests by a template, and come back with their answers, row by row."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from app.batches.formats import answers, tables, template
from app.batches.formats.json_file import FormatError
from app.settings import SettingsError
from ops.cli import main
from ops.cli.batch import source
from ops.cli.batch.results import TargetError, format_wanted


def requests(path: Path, text: str, kind: str | None = None, **recipe: Any) -> list[dict[str, Any]]:
    found = template.Recipe(text, **recipe)
    rows = tables.Rows(path, kind or tables.format_of(path))
    return [template.request(row, number, found) for number, row in enumerate(rows, 1)]


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
    with pytest.raises(
        FormatError, match=r"row 1: the template names 'txet', which is no column\. Did you mean 'text'\? There"
    ):
        requests(tmp_path / "a.csv", "{txet}")
    with pytest.raises(FormatError, match="no column 'id'"):
        requests(tmp_path / "a.csv", "{text}", id_column="id")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", "text\nMühe\n".encode("latin-1"), "not UTF-8: its byte 0xfc .*Save it as UTF-8"),
        ("a.txt", b"a\xff\n", "not UTF-8"),
        ("a.csv", b"text,id,text\nx,y,z\n", "columns 1 and 3 are called 'text'"),
        ("a.csv", b"id,,\nx,y,z\n", "columns 2 and 3 have no name"),
        ("a.jsonl", b'{"text": "a", "text": "b"}', "a.jsonl:1: not valid JSON: two fields are called 'text'"),
        ("a.jsonl", b'[{"text": "a"}, {"text": "b"}', "its array has no end: is the file whole"),
        ("a.jsonl", b'[{"text": "a"}] {"text": "b"}', "there is more after the end of the array"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": "b"},\n',
            "a.jsonl:2: not valid JSON: .* Lines of JSONL end without a comma",
        ),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not valid JSON"),
        ("a.jsonl", b"[1]", "a.jsonl:1: not a JSON object"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """Old encodings, cells without end, depths: told with the file's name."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=says):
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
    target = io.BytesIO()
    assert answers.write(target, "csv", found.get, source=path, source_kind="csv", id_column="id") == 1
    assert target.getvalue().decode().splitlines() == [
        "id,answer,answer_,error",
        "b,x,,invalid_request_error: no",
        'a,y,"A, of course",',
        "c,z,,batch_expired: late",
        "d,w,,",
    ]


@pytest.mark.parametrize(
    ("body", "answer", "error"),
    [
        ({"choices": [{"text": "A", "index": 0}]}, "A", ""),
        (
            {
                "output": [
                    {"type": "reasoning"},
                    {"type": "message", "content": [{"type": "output_text", "text": "A"}] * 2},
                ]
            },
            "AA",
            "",
        ),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}, "", "refused: No."),
        ({"output": [{"type": "function_call", "name": "f"}]}, '[{"type": "function_call", "name": "f"}]', ""),
    ],
)
def test_answers_of_other_endpoints(body: Any, answer: str, error: str) -> None:
    """Of `/v1/completions` and `/v1/responses`, whose batches have results, too."""
    sent = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None})
    assert answers.of(sent.encode()) == ("a", (answer, error))


def test_structured_answers_are_objects_in_jsonl(tmp_path: Path) -> None:
    """In JSONL an answer that is JSON stands there as what it is; tool calls and refusals are not lost."""
    path = tmp_path / "a.txt"
    path.write_text("1\n2\n3\n")
    sent = (
        line("row-1", '{"stars": 5}'),
        line("row-2", None, refusal="I won't."),
        line("row-3", None, tool_calls=[{"id": "x"}]),
    )
    target = io.BytesIO()
    found = dict(map(answers.of, sent))
    assert answers.write(target, "jsonl", found.get, source=path, source_kind="text", id_column=None) == 0
    assert [json.loads(one) for one in target.getvalue().decode().splitlines()] == [
        {"text": "1", "answer": {"stars": 5}, "error": None},
        {"text": "2", "answer": None, "error": "refused: I won't."},
        {"text": "3", "answer": [{"id": "x"}], "error": None},
    ]


def test_validate_names_what_would_fail_by_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Conversations that Claude has no form for are refused, each with its place."""
    ask = {"role": "user", "content": "hi"}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    conversations: dict[str, Any] = {
        "messages[1]": [ask, {"role": "assistant", "content": "It is"}],
        "messages[1].tool_calls[0].function.arguments": [ask, {"role": "assistant", "tool_calls": [call]}, ask],
        "messages[1].tool_call_id": [ask, {"role": "tool", "tool_call_id": "a", "content": "42"}],
        "messages[0].content[0].image_url": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}
        ],
        "messages[0].content[0].file.file_data": [
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}}]}
        ],
    }
    path = tmp_path / "night.jsonl"
    with path.open("w") as file:
        for number, messages in enumerate(conversations.values()):
            body = {"model": "haiku", "messages": messages}
            line = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    assert main.main(["batch", "validate", str(path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["refused"]
    assert [(fault["line"], fault["param"]) for fault in found] == [
        (number, f"body.{param}") for number, param in enumerate(conversations, 1)
    ]


def test_validate_needs_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault of the file and every request that would be refused is named with its line; the exit status says which."""
    path = tmp_path / "night.jsonl"
    good = template.request({"text": "hi"}, 1, template.Recipe("{text}"))
    refused = {**good, "custom_id": "r", "body": {**good["body"], "logprobs": True}}
    path.write_text("\n".join([json.dumps(good), json.dumps({**good, "url": "/v1/x"}), "x", json.dumps(refused)]))
    assert main.main(["batch", "validate", str(path)]) == 1
    shown = capsys.readouterr()
    assert [one.partition(": ")[2].partition(" ")[0] for one in shown.err.splitlines()] == [
        "url_mismatch:",
        "invalid_json_line:",
        "refused:",
    ]
    assert [one.partition(": ")[0] for one in shown.err.splitlines()] == [f"{path}:2", f"{path}:3", f"{path}:4"]
    path.write_text("\n".join([json.dumps(good), json.dumps(refused)]))
    assert main.main(["batch", "validate", str(path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["requests"], found["errors"], [one["param"] for one in found["refused"]]) == (
        2,
        [],
        ["body.logprobs"],
    )
    assert main.main(["batch", "validate", str(path), "--strict"]) == 1
    path.write_text(json.dumps(good))
    assert main.main(["batch", "validate", str(path)]) == 0
    assert "1 requests, no fault" in capsys.readouterr().out


def test_one_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped model, and a field that every request has, are not told once a row."""
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "hi\n" * 500)
    argv = ["batch", "validate", str(path), "--template", "{text}"]
    assert main.main([*argv, "--model", "haikku"]) == 1
    (only,) = capsys.readouterr().err.splitlines()
    assert "row 1: model_not_found" in only and "haikku" in only
    path = tmp_path / "night.jsonl"
    sent = [template.request({"text": "hi"}, n, template.Recipe("{text}")) for n in range(1, 501)]
    for one in sent:
        one["body"]["logprobs"] = True
    path.write_text("\n".join(map(json.dumps, sent)))
    assert main.main(["batch", "validate", str(path)]) == 3
    (only,) = capsys.readouterr().err.splitlines()
    assert only.startswith(f"{path}:1: refused: ")
    assert only.endswith("[also lines 2, 3, 4, 5, 6 and 494 more]")


def made(path: Path, **how: Any) -> list[dict[str, Any]]:
    """The requests that a file becomes, blank lines left out."""
    with source.opened(path, source.How(**how)) as found:
        return [json.loads(one) for one in found.file if one.strip()]


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("array", "one JSON array"),
        ("pretty array", "one JSON array"),
        ("pretty", "JSON spread over several lines"),
        ("commas", "JSON with commas between its lines"),
    ],
)
def test_json_that_is_nearly_jsonl_is_read_as_it_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: str, says: str
) -> None:
    """Requests in an array, pretty-printed, or with commas between them are taken, and it is said; with a model, too."""
    sent = [template.request({"text": f"hi {n}"}, n, template.Recipe("{text}")) for n in range(3)]
    text = {
        "array": json.dumps(sent),
        "pretty array": json.dumps(sent, indent=2),
        "pretty": "\n".join(json.dumps(one, indent=2) for one in sent),
        "commas": "".join(json.dumps(one) + ",\n" for one in sent),
    }[shape]
    path = tmp_path / "night.jsonl"
    path.write_text(text, encoding="utf-8-sig")
    assert made(path) == sent
    assert says in capsys.readouterr().err
    assert {one["body"]["model"] for one in made(path, model="opus")} == {"opus"}
    path.write_text("\n".join(map(json.dumps, sent)))
    assert (made(path), capsys.readouterr().err.count("JSON")) == (sent, 2)


def test_a_table_in_json_is_rows(tmp_path: Path) -> None:
    """An array of objects is a table, and not lines of text that happen to be brackets; nothing of a row is lost."""
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, indent=1))
    assert [one["custom_id"] for one in made(path, template="{text}", id_column="id")] == ["a", "b"]
    target = io.BytesIO()
    found = {"a": ("A", ""), "b": ("B", "")}
    assert answers.write(target, "jsonl", found.get, source=path, source_kind="jsonl", id_column="id") == 0
    assert json.loads(target.getvalue()) == [{**row, "answer": row["id"].upper(), "error": None} for row in rows]


def test_blank_rows_are_no_requests_and_keep_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are skipped and counted; the others keep their numbers, and the table comes back with all its rows."""
    path = tmp_path / "a.csv"
    path.write_text("text,n\na,1\n\n, \nb,2\n")
    assert [one["custom_id"] for one in made(path, template="{text}")] == ["row-1", "row-3"]
    assert "2 blank rows are skipped" in capsys.readouterr().err
    target = io.BytesIO()
    found = {"row-1": ("A", ""), "row-3": ("B", "")}
    assert answers.write(target, "csv", found.get, source=path, source_kind="csv", id_column=None) == 0
    assert target.getvalue().decode().splitlines() == ["text,n,answer,error", "a,1,A,", "", ", ,,", "b,2,B,"]


def test_a_cell_may_be_as_large_as_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into a request is taken, and comes back; of what does not, row and column are named."""
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,short\n2,"' + "x" * 3_000_000 + '"\n')
    assert len(made(path, template="{text}")[1]["body"]["messages"][0]["content"]) == 3_000_000
    target = io.BytesIO()
    answers.write(target, "csv", lambda _: None, source=path, source_kind="csv", id_column=None)
    assert len(target.getvalue()) > 3_000_000
    monkeypatch.setenv("NIGHTSHIFT_MAX_BODY_BYTES", "1000000")
    with pytest.raises(FormatError, match=r"row 2: .* column 'text' has 3,000,000 characters"):
        made(path, template="{text}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Is this kind?", "names no column, so that every row would ask the same. .*--template 'Summarise: {text}'"),
        ("{text} or {text", r"has '\{text' without the '\}'"),
        ('Answer {"kind": 1}. {text}', r"which is no column.*written twice: '\{\{\"kind\": 1\}\}'"),
    ],
)
def test_a_template_that_can_not_be_meant(tmp_path: Path, text: str, says: str) -> None:
    """One without a column, and one with a brace that is text: told with the way out."""
    path = tmp_path / "a.csv"
    path.write_text("text\nhi\n")
    with pytest.raises(FormatError, match=says):
        made(path, template=text)


def test_a_workbook_by_the_name_of_a_csv(tmp_path: Path) -> None:
    """It is said what it is, not which of its bytes is no text."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"PK\x03\x04\xe3")
    with pytest.raises(SettingsError, match=r"a\.csv: it is xlsx, and not csv as its name says: --format xlsx"):
        made(path, template="{text}")


def test_no_workbook_is_written_into_a_file_of_another_name() -> None:
    """The ending says what is written. One that says nothing is as good as any for a table of text only."""
    assert format_wanted(Path("a.txt"), "csv") == "text"
    assert format_wanted(Path("a.csv.gz"), "xlsx") == "csv"
    with pytest.raises(TargetError, match=r"is parquet, and the ending of a\.foo names no format: -o FILE.parquet"):
        format_wanted(Path("a.foo"), "parquet")


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table without a template, options without one, and no server: told in words, without a traceback."""
    path = tmp_path / "a.csv"
    path.write_text("text\nhi\n")
    assert main.main(["batch", "validate", str(path)]) == 2
    assert "--template" in capsys.readouterr().err
    assert main.main(["batch", "validate", str(path), "--system", "x"]) == 2
    assert main.main(["batch", "submit", str(path), "--template", "{text}", "--try", "0"]) == 2
    assert "--try" in capsys.readouterr().err
    assert main.main(["batch", "list", "--url", "http://127.0.0.1:9"]) == 1
    assert "nightshift up" in capsys.readouterr().err


def test_a_part_of_a_table_is_asked(tmp_path: Path) -> None:
    """A prompt may use columns that do not come back; rows that are left out keep the numbers of the others; no row is an error."""
    path = tmp_path / "a.csv"
    path.write_text("id,lang,text\n1,de,gut\n2,en,good\n3,de,schlecht\n")
    found = made(path, template="{text}", columns=("id",), where=("lang=de",))
    assert [(one["custom_id"], one["body"]["messages"][0]["content"]) for one in found] == [
        ("row-1", "gut"),
        ("row-3", "schlecht"),
    ]
    with pytest.raises(FormatError, match=r"a\.csv: --where leaves no row"):
        made(path, template="{text}", where=("lang=fr",))
    for empty in ("", "id,text\n", "id,text\n , \n"):
        path.write_text(empty)
        with pytest.raises(FormatError, match=r"a\.csv: it has no row with anything in it"):
            made(path, template="{text}")
    path.write_text("id,text\n1,gut\n")
    with pytest.raises(FormatError, match="--columns names 'idd', which is no column"):
        made(path, template="{text}", columns=("idd",))
