"""What the client asks of the server and what it makes of the answers, without either."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import nightshift_client
from nightshift_client import APIConnectionError, Batch, BatchHeld, RateLimitError, TableError, flows
from nightshift_client.calls import Call, Flow, Wait, ask
from nightshift_client.errors import error_of
from nightshift_client.lines import Recipe
from nightshift_client.results import joined, outcomes
from nightshift_client.server import Server
from nightshift_client.table import of
from ops.supervisor.data_dir import DataDirLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

RECIPE = Recipe("{a}", "haiku")


def batch(status: str = "completed", **more: Any) -> dict[str, Any]:
    """A batch as the server has it."""
    ours = {
        "unrun": 0,
        "cost_usd": 0.1,
        "waiting_for": None,
        "waiting_reason": None,
        "waiting_until": None,
        "refused": 0,
    }
    ours |= more.pop("nightshift", {})
    counts = {"total": 1, "completed": 1, "failed": 0}
    return {"id": "batch_1", "status": status, "request_counts": counts, "created_at": 9e9, "nightshift": ours, **more}


def run(flow: Flow[Any], answer: Callable[[Call], Any]) -> tuple[Any, list[str]]:
    """Drive it with these answers (an exception is thrown). Its result, and what it asked for."""
    asked: list[str] = []
    effect, error = next(flow), None
    while True:
        found: Any = None
        if isinstance(effect, Call):
            asked.append(f"{effect.method} {effect.path}")
            found = answer(effect)
            error = found if isinstance(found, Exception) else None
        else:
            asked.append(f"wait {effect.seconds:g}")
            error = None
        try:
            effect = flow.throw(error) if error else flow.send(found)
        except StopIteration as end:
            return end.value, asked


def refused(status: int, **headers: str) -> Exception:
    """An error of OpenAI's shape."""
    error = {"message": "No.", "type": "t", "code": "c", "param": "p"}
    return error_of(httpx.Response(status, json={"error": error}, headers=headers))


def in_turn(answers: Iterable[Any]) -> Callable[[Call], Any]:
    left = iter(answers)
    return lambda _: next(left)


def test_what_may_succeed_is_asked_again() -> None:
    """A server that is away, and one that says when."""
    answers = [APIConnectionError("away"), refused(429, **{"retry-after": "7"}), {"x": 1}]
    found, asked = run(ask(Call("GET", "/x")), in_turn(answers))
    assert (found, asked) == ({"x": 1}, ["GET /x", "wait 0.5", "GET /x", "wait 7", "GET /x"])


@pytest.mark.parametrize(
    "error", [refused(400), refused(429, **{"retry-after": "900"}), refused(503, **{"x-should-retry": "false"})]
)
def test_what_will_not_succeed_is_raised(error: Exception) -> None:
    """Once, with OpenAI's fields."""
    with pytest.raises(nightshift_client.APIStatusError) as raised:
        run(ask(Call("GET", "/x")), in_turn([error]))
    found = raised.value
    assert (str(found), found.type, found.code, found.param) == ("No. (p)", "t", "c", "p")
    assert isinstance(refused(429), RateLimitError)


def submitting(listed: list[dict[str, Any]], posted: list[Any]) -> Callable[[Call], Any]:
    """A server that has these batches."""

    def answer(call: Call) -> Any:
        if call.upload:
            posted.append(call.upload)
            return {"id": f"file-{len(posted)}"}
        if call.method == "POST":
            posted.append(call.json)
            return batch("in_progress", metadata=call.json["metadata"])
        return {"data": listed, "has_more": False} if "limit" in call.path else {}

    return answer


def test_submit() -> None:
    """The lines and the table are uploaded; the metadata are those of the command."""
    posted: list[Any] = []
    options: flows.BatchOptions = {"max_cost": 5, "try_first": 2, "strict": True, "metadata": {"mine": "x"}}
    made, _ = run(flows.submit([{"a": 1}], Recipe("{a}", "haiku", id_column="a"), options), submitting([], posted))
    assert made.id == "batch_1"
    lines, rows, body = posted
    assert json.loads(lines[1])["custom_id"] == "1" and json.loads(rows[1]) == {"a": 1}
    digest = body["metadata"].pop("nightshift_digest")
    assert len(digest) == 32
    assert body["input_file_id"] == "file-1" and body["metadata"] == {
        "mine": "x",
        "max_cost": "5",
        "try": "2",
        "on_bad_line": "fail",
        "nightshift_table": "file-2",
        "nightshift_format": "jsonl",
        "nightshift_id_column": "a",
    }


def test_the_same_is_submitted_once() -> None:
    """A cell that is run again finds its batch; other options, or a batch that was cancelled, make another one."""
    posted: list[Any] = []
    run(flows.submit([{"a": 1}], RECIPE, {}), submitting([], posted))
    metadata = posted[-1]["metadata"]
    earlier = batch("in_progress", metadata=metadata)
    with pytest.warns(UserWarning, match="as batch_1: this is that batch"):
        found, asked = run(flows.submit([{"a": 1}], RECIPE, {}), submitting([earlier], posted := []))
    assert (found.id, posted, asked[-1]) == ("batch_1", [], "GET /v1/batches?limit=100")
    for options, known in (
        ({"max_cost": 5}, earlier),
        ({}, {**earlier, "status": "cancelled"}),
        ({"again": True}, earlier),
    ):
        with warnings.catch_warnings(action="error"):
            run(flows.submit([{"a": 1}], RECIPE, options), submitting([known], posted := []))  # type: ignore[arg-type]
        assert len(posted) == 3


def test_watch_waits_for_a_server() -> None:
    """It says how it goes, and ends where somebody's word is wanted."""
    held = batch("in_progress", nightshift={"waiting_for": "tried"})
    answers = [batch("in_progress"), APIConnectionError("away"), refused(503), held]
    found, asked = run(flows.watch("batch_1", is_shown=False), in_turn(answers))
    assert found.is_held and not found.has_ended
    assert asked.count("GET /v1/batches/batch_1") == 4


def test_watch_is_shown_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal: at the beginning and at the end."""
    run(flows.watch("batch_1", is_shown=True), in_turn([batch("in_progress"), batch("in_progress"), batch()]))
    assert capsys.readouterr().err.splitlines() == ["batch_1 1/1, $0.1000", "batch_1 1/1, completed, $0.1000"]


def test_ctrl_c_leaves_it(capsys: pytest.CaptureFixture[str]) -> None:
    """And says so."""
    flow = flows.watch("batch_1", is_shown=True)
    next(flow)
    assert isinstance(flow.send(batch("in_progress")), Wait)
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert "batch_1 goes on without you" in capsys.readouterr().err


def test_ask_each_of_a_batch_that_is_held() -> None:
    """It is raised, with the batch."""
    held = batch("in_progress", nightshift={"waiting_for": "budget"}, metadata={})
    answers = [{}, {"data": [], "has_more": False}, {"id": "file-1"}, {"id": "file-2"}, held, held]
    with pytest.raises(BatchHeld, match=r"batch_1 waits \(budget\)"):
        run(flows.ask_each(iter([{"a": 1}]), RECIPE, {}, None, is_shown=False), in_turn(answers))


def line(custom_id: str, content: str | None = None, error: str = "", **message: Any) -> bytes:
    """Of an output or error file."""
    body: Any = {"choices": [{"message": {"content": content, **message}}]}
    response: Any = {"status_code": 200, "body": body}
    if error:
        response = {"status_code": 400, "body": {"error": {"code": None, "type": "bad", "message": error}}}
    return json.dumps({"custom_id": custom_id, "response": response, "error": None}).encode() + b"\n"


def test_results_are_in_the_tables_order() -> None:
    """What failed has its error, what was blank nothing; names that are taken are not."""
    table = of([{"answer": "mine"}, {"answer": None}, {"answer": "b"}, {"answer": "c"}])
    output = line("row-4", '{"x": 1}') + line("row-1", "cut {", refusal="won't")
    found = outcomes(output, line("row-3", error="No."), as_json=True)
    assert joined(table, found, None, None, is_whole=True) == [
        {"answer": "mine", "answer_": "cut {", "error": "refused: won't"},
        {"answer": None, "answer_": None, "error": None},
        {"answer": "b", "answer_": None, "error": "bad: No."},
        {"answer": "c", "answer_": {"x": 1}, "error": None},
    ]
    with pytest.raises(TableError, match="an answer to 'row-3'"):
        joined(of([{"a": 1}]), found, None, None, is_whole=False)
    with pytest.raises(TableError, match="no answer to some"):
        joined(of([{"a": 1}]), {}, None, None, is_whole=True)


def test_results_without_a_table() -> None:
    """Of a batch that something else submitted: its requests' ids are all there is."""
    lines = b'{"custom_id": "b"}\n\n{"custom_id": "a"}\n'
    answers = [batch(input_file_id="file-1"), lines, line("a", "1") + line("b", "2"), b""]
    found, _ = run(flows.read("batch_1", None, None, is_partial=False, as_json=None), in_turn(answers))
    assert found == [{"custom_id": "b", "answer": "2", "error": None}, {"custom_id": "a", "answer": "1", "error": None}]


@pytest.mark.parametrize(
    "more", [{"nightshift_format": "xlsx"}, {"nightshift_format": "jsonl", "nightshift_selection": "{}"}]
)
def test_results_of_a_table_of_the_commands(more: dict[str, str]) -> None:
    """The server reads it, whatever its format is."""
    answers = [batch(metadata={"nightshift_table": "file-1", **more}), b'{"a": 1, "answer": "x", "error": null}\n']
    found, asked = run(flows.read("batch_1", None, None, is_partial=False, as_json=None), in_turn(answers))
    assert found == [{"a": 1, "answer": "x", "error": None}]
    assert asked[-1] == "GET /batches/batch_1/table?format=jsonl"


def test_results_of_a_retry_are_those_of_the_whole_table() -> None:
    """What had been answered before is there, and what is answered now replaces its error, whoever reads the table."""
    ours = {"nightshift_table": "file-1", "nightshift_format": "jsonl"}
    answers = [
        batch(metadata=ours | {"retry_of": "batch_0"}),
        b'{"a": 1}\n{"a": 2}\n',
        line("row-2", "now"),
        b"",
        batch(metadata=ours),
        line("row-1", "then"),
        line("row-2", error="No."),
    ]
    found, _ = run(flows.read("batch_1", None, None, is_partial=False, as_json=None), in_turn(answers))
    expected = [{"a": 1, "answer": "then", "error": None}, {"a": 2, "answer": "now", "error": None}]
    assert found == expected
    theirs = ours | {"nightshift_format": "csv"}
    answers = [
        batch(metadata=theirs | {"retry_of": "batch_0"}),
        b'{"a": 1, "answer": null, "error": null}\n{"a": 2, "answer": "now", "error": null}\n',
        batch(metadata=theirs),
        b'{"a": 1, "answer": "then", "error": null}\n{"a": 2, "answer": null, "error": "No."}\n',
    ]
    found, _ = run(flows.read("batch_1", None, None, is_partial=False, as_json=None), in_turn(answers))
    assert found == expected


def test_a_batch_that_goes_on_or_failed_has_no_results() -> None:
    with pytest.raises(nightshift_client.BatchNotEnded, match="partial=True"):
        run(flows.read("b", None, None, is_partial=False, as_json=None), in_turn([batch("in_progress")]))
    faults = {"data": [{"line": 2, "message": "Twice.", "code": "x"}]}
    with pytest.raises(nightshift_client.BatchFailed, match="row 2: Twice") as raised:
        run(flows.read("b", None, None, is_partial=False, as_json=None), in_turn([batch("failed", errors=faults)]))
    assert raised.value.faults == faults["data"]
    assert Batch.of(batch("failed")).faults == []


@pytest.mark.parametrize(
    ("environ", "given", "url", "key"),
    [
        ({}, (None, None), "http://127.0.0.1:8204", ""),
        ({"NIGHTSHIFT_PORT": "9"}, (None, None), "http://127.0.0.1:9", ""),
        ({"NIGHTSHIFT_URL": "host:1/v1/", "NIGHTSHIFT_API_KEYS": "a, b"}, (None, None), "http://host:1", "a"),
        ({"NIGHTSHIFT_API_KEY": "k", "NIGHTSHIFT_API_KEYS": "a"}, ("https://h/v1", None), "https://h", "k"),
        ({"NIGHTSHIFT_API_KEY": "k"}, (None, ""), "http://127.0.0.1:8204", ""),
    ],
)
def test_the_server(
    environ: dict[str, str], given: tuple[str | None, str | None], url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given goes before the command's variables."""
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", "/nowhere")
    for name in ("NIGHTSHIFT_URL", "NIGHTSHIFT_PORT", "NIGHTSHIFT_API_KEY", "NIGHTSHIFT_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = Server.of(*given)
    assert (found.url, found.key) == (url, key)
    assert "k" not in repr(found).replace("key", "")


def test_what_runs_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is found as the command finds it, and only while it runs."""
    for name in ("NIGHTSHIFT_URL", "NIGHTSHIFT_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIGHTSHIFT_DATA_DIR", str(tmp_path))
    with DataDirLock(tmp_path, "http://127.0.0.1:77"):
        assert Server.of(None, None).url == "http://127.0.0.1:77"
    assert Server.of(None, None).url == "http://127.0.0.1:8204"
