"""`/batches/new`, in process: what is taken, what is refused beside which field, who may, and the table that comes back."""

from __future__ import annotations

import html
import io
import json
import re
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from api.new_batch import table as new_table
from api.new_batch.views import UNUSED_KEEP_SECONDS
from api.services import EXTENSION
from app import clock, errors
from app.api_keys import ApiKeys
from app.batches.file_record import UPLOAD_KEEP_SECONDS
from app.jobs import transitions
from app.outcome import COST_HEADER, WAY_HEADER, Outcome
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from redis import Redis
    from werkzeug.test import TestResponse

    from app.batches.feeder import Feeder
    from tests.fake_worker import FakeWorker
    from tests.integration.api.conftest import MakeClient

OURS = {"Sec-Fetch-Site": "same-origin"}
EVIL = "<script>document.title='evil'</script>"
REVIEWS = "id,text\n" + "".join(f'r{n},"Review, number {n}"\n' for n in range(12))


@pytest.fixture
def client(make_client: MakeClient, tmp_path: Path) -> FlaskClient:
    return make_client(data_dir=tmp_path)


def upload(client: FlaskClient, data: str | bytes, name: str = "reviews.csv", **headers: str) -> TestResponse:
    raw = data.encode() if isinstance(data, str) else data
    return client.post("/batches/new", data={"file": (io.BytesIO(raw), name)}, headers={**OURS, **headers})


def uploaded(client: FlaskClient, data: str | bytes = REVIEWS, name: str = "reviews.csv", **headers: str) -> str:
    """The address of the table's page."""
    answer = upload(client, data, name, **headers)
    assert answer.status_code == 303, said(answer)
    return str(answer.headers["Location"])


def post(client: FlaskClient, path: str, template: str = "Is it kind? {text}", **fields: str) -> TestResponse:
    return client.post(path, data={"template": template, "model": "haiku", **fields}, headers=OURS)


def said(answer: TestResponse) -> dict[str, str]:
    """The faults that the page shows, by field."""
    found = re.findall(r'<p class="fault" id="(\w+)-fault"><bdi>(.*?)</bdi>', answer.text, re.DOTALL)
    return {name: html.unescape(text) for name, text in found}


def batch_of(client: FlaskClient, answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 303, said(answer)
    found: Any = client.get(f"/v1{answer.headers['Location']}").json
    return dict(found)


def stored(client: FlaskClient) -> list[str]:
    """The names of all files that there are."""
    found: Any = client.get("/v1/files").json
    return sorted(one["filename"] for one in found["data"])


def run(feeder: Feeder, worker: FakeWorker, client: FlaskClient, batch_id: str) -> None:
    """Until it is held or has ended. What is asked about review 3 fails; the others are answered with a formula and HTML."""

    def is_still() -> bool:
        feeder.run_once()
        while (job := worker._pop()) is not None:
            claimed = transitions.claim(worker.connection, job.id, "w1", 60)
            assert claimed is not None
            lease, record = claimed[:2]
            asked = json.dumps(worker.payload(record.id))
            outcome = Outcome(error=errors.invalid_request("too rude"))
            if "number 3" not in asked:
                message = {"role": "assistant", "content": f'=1+1 "{EVIL}"'}
                body: dict[str, Any] = {"id": record.id, "object": "chat.completion", "choices": [{"message": message}]}
                body["usage"] = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
                outcome = Outcome(body=body, headers={COST_HEADER: "0.01", WAY_HEADER: "cli"})
            transitions.publish(worker.connection, feeder._settings, lease, outcome)
        found: Any = client.get(f"/v1/batches/{batch_id}").json
        return bool(found["nightshift"]["waiting_for"] == "tried" or found["status"] == "completed")

    wait_until(is_still, "the batch")


def test_the_whole_way(client: FlaskClient, feeder: Feeder, worker: FakeWorker) -> None:
    """A table is seen, five rows are tried, the forecast is shown, the rest goes on, and the table comes back with its answers."""
    assert 'href="/batches/new"' in client.get("/", headers={"Accept": "text/html"}).text
    path = uploaded(client)
    page = client.get(path).text
    assert "12 rows, 2 columns" in page
    assert page.count("Review, number") == new_table.SHOWN
    assert "Try 5 rows" in page
    answer = post(client, path, system="Be brief.", max_tokens="20", id_column="id", schema='{"type": "object"}')
    made = batch_of(client, answer)
    assert made["nightshift"]["tried"] == 5
    raw = client.get(f"/batches/{made['id']}/input").text.splitlines()
    body = json.loads(raw[0])["body"]
    assert len(raw) == 12
    assert (json.loads(raw[0])["custom_id"], body["model"], body["max_completion_tokens"]) == ("r0", "haiku", 20)
    assert [one["content"] for one in body["messages"]] == ["Be brief.", "Is it kind? Review, number 0"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    run(feeder, worker, client, made["id"])
    tried = client.get(f"/batches/{made['id']}").text
    assert "What the rest comes to" in tried
    assert tried.count("<details open>") >= 4
    assert EVIL not in tried
    assert client.post(f"/batches/{made['id']}/continue", headers=OURS).status_code == 303
    run(feeder, worker, client, made["id"])
    assert f'href="/batches/{made["id"]}/table"' in client.get(f"/batches/{made['id']}").text
    found = client.get(f"/batches/{made['id']}/table")
    assert found.headers["Content-Disposition"] == "attachment; filename=reviews.answers.csv"
    lines = found.text.splitlines()
    assert lines[0] == "id,text,answer,error"
    assert lines[1] == f'r0,"Review, number 0","=1+1 ""{EVIL}""",'
    assert lines[4] == 'r3,"Review, number 3",,invalid_request_error: too rude'
    assert len(lines) == 13
    again = client.get(f"/batches/{made['id']}/table?format=jsonl")
    assert again.headers["Content-Disposition"] == "attachment; filename=reviews.answers.jsonl"
    assert json.loads(again.text.splitlines()[3]) == {
        "id": "r3",
        "text": "Review, number 3",
        "answer": None,
        "error": "invalid_request_error: too rude",
    }
    assert client.get(f"/batches/{made['id']}/table?format=doc").status_code == 400
    # A retry has the whole table, too: what failed is empty until it has ended anew.
    retry: Any = client.post(f"/v1/batches/{made['id']}/retry_failed").json
    assert client.get(f"/batches/{retry['id']}/table").text == found.text.replace("invalid_request_error: too rude", "")
    run(feeder, worker, client, retry["id"])
    assert client.get(f"/batches/{retry['id']}/table").text == found.text
    # Whoever has made a batch of it keeps the table, which is part of the results.
    left: Any = client.get(f"/v1/files/{path.rpartition('/')[2]}").json
    assert left["expires_at"] > clock.now() + UPLOAD_KEEP_SECONDS - 60
    client.post(f"{path}/discard", headers=OURS)
    assert client.get(f"/batches/{made['id']}/table").status_code == 200


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "", "none was chosen"),
        ("a.csv", "id,text\n", "a.csv has no rows"),
        ("a.csv", "id,text\n1,a,b\n", "a.csv:2: more fields than the header has columns"),
        ("a.csv", "text,id,text\n1,2,3\n", "columns 1 and 3 are called 'text'"),
        ("a.csv", "text\nMühe\n".encode("latin-1"), "not UTF-8"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"},\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", json.dumps({"custom_id": "1", "body": {}}), "requests in it, not a table"),
        ("a.ods", b"PK\x03\x04", "a.ods: .ods is not read. Save it as .xlsx."),
        ("a.xlsx", "id,text\n1,a\n", "a.xlsx: it is text, such as CSV or JSON, and not a workbook"),
        ("a.csv", ",".join(f"c{n}" for n in range(201)) + "\n1\n", "more than 200 columns"),
        (f"{EVIL}.csv", "a\n", f"{EVIL}.csv has no rows"),
    ],
)
def test_what_is_no_table_is_said_beside_the_file_and_nothing_is_kept(
    client: FlaskClient, tmp_path: Path, name: str, data: str | bytes, message: str
) -> None:
    answer = upload(client, data, name)
    assert answer.status_code == 400
    assert message in said(answer)["file"]
    assert str(tmp_path) not in answer.text
    assert "nightshift-table" not in answer.text
    assert EVIL not in answer.text
    assert 'aria-describedby="file-fault file-hint"' in answer.text
    assert stored(client) == []
    assert [one.name for one in tmp_path.rglob(".part-*")] == []


def test_bounds(make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, rows, one JSON value, and the tables that are read at once."""
    client = make_client(data_dir=tmp_path, max_file_bytes=3000, max_batch_lines=12)
    assert "larger than 3000 bytes" in said(upload(client, "a\n" + "x" * 3000))["file"]
    monkeypatch.setattr(new_table, "MAX_JSON_BYTES", 20)
    for data in (
        json.dumps([{"text": "a" * 20}]),
        json.dumps([{"text": "a"}] * 4, indent=1),
        '{"text": "a", "b": 12345}',
    ):
        assert "Save it as JSONL" in said(upload(client, data, "a.json"))["file"]
    monkeypatch.setattr(new_table, "MAX_WORKBOOK_BYTES", 20)
    large = make_client(data_dir=tmp_path)
    assert "Save the sheet as CSV" in said(upload(large, workbook(["id"], [1]), "a.xlsx"))["file"]
    path = uploaded(client, REVIEWS + "one,more\n")
    assert "More than 12 rows" in client.get(path).text
    assert "more than 12 rows" in said(post(client, path))["template"]
    assert "All requests together" in said(post(client, uploaded(client), "{text}" + "y" * 500))["template"]
    monkeypatch.setattr(new_table, "_PATIENCE_SECONDS", 0.0)
    with new_table.turn(), new_table.turn():
        busy = upload(client, REVIEWS)
        assert (busy.status_code, said(busy)["file"][:12]) == (503, "Other tables")
    assert stored(client) == ["reviews.csv", "reviews.csv"]


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    for cell in (cell for row in sheet for cell in row if isinstance(cell.value, str)):
        cell.data_type = "s"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_other_formats(client: FlaskClient) -> None:
    """TSV, JSONL whose rows differ, lines of text and a workbook are shown, too."""
    assert "<bdi>two</bdi>" in client.get(uploaded(client, "a\tb\none\ttwo\n", "a.tsv")).text
    page = client.get(uploaded(client, '{"a": 1}\n{"a": null, "b": {"c": [2]}}\n', "a.jsonl")).text
    assert "2 rows, 2 columns" in page
    assert "<bdi>{&#34;c&#34;: [2]}</bdi>" in page
    assert "<bdi>{text}</bdi>" in client.get(uploaded(client, "hello\n", "notes")).text
    page = client.get(uploaded(client, workbook(["id", "text"], [1, "=1+1 as text"]), "a.xlsx")).text
    assert "<td><bdi>1</bdi></td><td><bdi>=1+1 as text</bdi></td>" in page


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"template": ""}, "template", "Write what Claude is to do"),
        ({"template": "hello"}, "template", "such as {id}"),
        ({"template": "{Txet} {id}"}, "template", "There is no column 'Txet'. Did you mean 'text'?"),
        ({"model": "gpt-none"}, "model", "gpt-none"),
        ({"schema": "{"}, "schema", "This is not JSON"),
        ({"schema": "[]"}, "schema", "A schema is a JSON object"),
        ({"schema": '{"type": "nothing"}'}, "schema", "nothing"),
        ({"max_tokens": "1.5"}, "max_tokens", "a whole number"),
        ({"max_tokens": "0"}, "max_tokens", "a whole number"),
        ({"id_column": "none"}, "id_column", "There is no column 'none'"),
    ],
)
def test_what_can_not_be_is_said_beside_its_field_and_nothing_is_made(
    client: FlaskClient, fields: dict[str, str], field: str, message: str
) -> None:
    """What was written stays in the form."""
    path = uploaded(client)
    answer = post(client, path, **{"system": "as I wrote it", **fields})
    assert answer.status_code == 400
    assert list(said(answer)) == [field]
    assert message in said(answer)[field]
    assert f'aria-describedby="{field}-fault' in answer.text
    assert "as I wrote it" in answer.text
    assert stored(client) == ["reviews.csv"]
    assert client.get("/v1/batches").json["data"] == []  # type: ignore[index]


def test_a_row_far_below_that_has_no_such_column(client: FlaskClient) -> None:
    """Its number is named, and nothing is left of what was made so far."""
    rows = [json.dumps({"text": "a"})] * 30 + [json.dumps({"other": "b"})]
    path = uploaded(client, "\n".join(rows), "a.jsonl")
    assert "row 31: the template names 'text'" in said(post(client, path))["template"]
    assert stored(client) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("r0", "'r0' was used on an earlier line"), ("r7", "Two rows have 'r7' there"), ("", "A row has nothing there")],
)
def test_a_column_that_does_not_name_the_rows(client: FlaskClient, name: str, message: str) -> None:
    """Among the rows that are shown, or far below."""
    head, *rows = REVIEWS.splitlines()
    rows.insert(1 if name == "r0" else len(rows), f'{name},"Once more"')
    path = uploaded(client, "\n".join([head, *rows]))
    assert message in said(post(client, path, id_column="id"))["id_column"]
    assert stored(client) == ["reviews.csv"]


def test_hostile_cells_are_text(client: FlaskClient) -> None:
    """Names, headers and cells with HTML, formulas and braces are shown as they are, and go into the prompt as they are."""
    page = client.get(uploaded(client, f'"{EVIL}",f\n"{EVIL}",=1+1\n', f"{EVIL}.csv")).text
    assert EVIL not in page
    assert page.count(html.escape(EVIL, quote=False).replace("'", "&#39;")) >= 4
    assert "<bdi>=1+1</bdi>" in page
    policy = client.get("/batches/new").headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_a_form_of_another_site_makes_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    path = uploaded(client)
    data = {"file": (io.BytesIO(b"a\nb\n"), "a.csv")}
    assert client.post("/batches/new", data=data, headers=headers).status_code == 403
    assert client.post(path, data={"template": "{text}"}, headers=headers).status_code == 403
    assert client.post(f"{path}/discard", headers=headers).status_code == 403
    assert stored(client) == ["reviews.csv"]
    assert client.get("/v1/batches").json["data"] == []  # type: ignore[index]


def test_a_form_that_is_sent_twice_makes_one_batch(client: FlaskClient) -> None:
    """Another prompt in the same form makes another one."""
    path = uploaded(client)
    made = [batch_of(client, post(client, path, form="f1"))["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert len(stored(client)) == 3
    assert batch_of(client, post(client, path, "Is it rude? {text}", form="f1"))["id"] != made[0]


def test_another_prompt_takes_the_trials_place(client: FlaskClient, feeder: Feeder, worker: FakeWorker) -> None:
    """The trial's page leads back to its prompt, filled in; what is tried instead cancels it."""
    path = uploaded(client)
    first = batch_of(client, post(client, path, "Is it kind?\n{text}", system="Be brief."))["id"]
    run(feeder, worker, client, first)
    again = f"{path}?instead_of={first}"
    assert f'href="{again}"' in client.get(f"/batches/{first}").text
    page = client.get(again).text
    assert "Is it kind?\n{text}</textarea>" in page
    assert "Be brief.</textarea>" in page
    second = batch_of(client, post(client, path, "Is it rude? {text}", instead_of=first))["id"]
    assert second != first
    assert client.get(f"/v1/batches/{first}").json["status"] == "cancelling"  # type: ignore[index]


def test_what_was_left_goes(client: FlaskClient, feeder: Feeder, connection: Redis, tmp_path: Path) -> None:
    """A table of which nothing was made is deleted after two hours, and at once by its button."""
    uploaded(client)
    (left,) = client.get("/v1/files").json["data"]  # type: ignore[index]
    assert left["expires_at"] - left["created_at"] == UNUSED_KEEP_SECONDS
    files = client.application.extensions[EXTENSION].batches.files
    files.remove_old(clock.now() + UNUSED_KEEP_SECONDS + 1)
    path = uploaded(client)
    assert client.post(f"{path}/discard", headers=OURS).headers["Location"] == "/batches/new"
    assert list((tmp_path / "batches" / "files").iterdir()) == []
    gone = client.get(path, headers={"Accept": "text/html"})
    assert gone.status_code == 404
    assert "not there (any more)" in said(gone)["file"]
    assert post(client, path).status_code == 404


def test_a_table_of_few_rows(client: FlaskClient, feeder: Feeder, worker: FakeWorker) -> None:
    """All of it is run; the page brings buttons and script as long as something may change, and shows the answers at the end."""
    path = uploaded(client, "text\nNice.\nRude.\n")
    assert "Run its 2 rows" in client.get(path).text
    batch_id = batch_of(client, post(client, path))["id"]
    before = client.get(f"/batches/{batch_id}")
    # What the script brings are forms: these tell where they come from, which `no-referrer` would forbid.
    assert before.headers["Referrer-Policy"] == "same-origin"
    assert '<meta name="referrer" content="same-origin">' in before.text
    assert "form-action 'self'; script-src 'self'; connect-src 'self'" in before.headers["Content-Security-Policy"]
    assert "<script" not in client.get(f"/batches/{batch_id}?links=absolute").text
    run(feeder, worker, client, batch_id)
    after = client.get(f"/batches/{batch_id}")
    assert "<script" not in after.text
    assert after.text.count("<details open>") == 2
    assert "script-src" not in after.headers["Content-Security-Policy"]


def test_keys_with_names(make_client: MakeClient, connection: Redis, tmp_path: Path) -> None:
    """Each has a page of its own tables and batches; models that a key may not use are neither offered nor taken."""
    client = make_client(api_keys=("operator",), data_dir=tmp_path)
    _, ann = ApiKeys(connection).create("ann", models=("haiku",))
    _, bob = ApiKeys(connection).create("bob")
    as_ann, as_bob = ({"Authorization": f"Bearer {key}", **OURS} for key in (ann, bob))
    assert client.get("/batches/new").headers["WWW-Authenticate"].startswith("Basic")
    path = uploaded(client, Authorization=f"Bearer {ann}")
    page = client.get(path, headers=as_ann).text
    assert "<option>haiku" in page.replace(" selected", "")
    assert "<option>opus" not in page
    assert client.get("/page/static/new_batch.css", headers=as_ann).status_code == 200
    form = {"template": "{text}", "model": "opus"}
    assert "may not use" in said(client.post(path, data=form, headers=as_ann))["model"]
    assert client.get(path, headers=as_bob).status_code == 404
    assert client.post(path, data={**form, "model": "haiku"}, headers=as_bob).status_code == 404
    made = client.post(path, data={**form, "model": "haiku"}, headers=as_ann).headers["Location"]
    assert client.get(made, headers=as_ann).status_code == 200
    for what in ("", "/table"):
        assert client.get(made + what, headers=as_bob).status_code == 404
    for what in ("/continue", "/cancel"):
        assert client.post(made + what, headers=as_bob).status_code == 404
    assert client.post(made + "/cancel", headers=as_ann).status_code == 303


def test_a_batch_of_no_table_has_none_to_download(client: FlaskClient) -> None:
    """Nor one whose metadata names a file that is not a table of its owner's."""
    made = batch_of(client, post(client, uploaded(client)))
    wanted = {"input_file_id": made["input_file_id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for metadata in ({}, {"nightshift_table": "file-none", "nightshift_format": "csv"}):
        other: Any = client.post("/v1/batches", json={**wanted, "metadata": metadata}).json
        answer: Any = client.get(f"/batches/{other['id']}/table")
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "file_not_found")
