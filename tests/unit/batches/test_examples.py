"""A few lines of large files, as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.report import examples
from app.batches.storage import names
from app.batches.storage.local_disk import LocalDisk
from tests.unit.batches.test_report import batch

if TYPE_CHECKING:
    from pathlib import Path

    from app.batches.record import BatchRecord


def written(tmp_path: Path, lines: list[dict[str, Any]]) -> tuple[LocalDisk, BatchRecord]:
    """A batch with these lines in its output and its error file."""
    storage = LocalDisk(tmp_path)
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    for name in ("output", "errors"):
        storage.put(names.stored_file(name), data)
    record = batch(output_file="output", error_file="errors", output_bytes=len(data), error_bytes=len(data))
    return storage, record


def failed(number: int, message: str, code: str | None = None) -> dict[str, Any]:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return {"custom_id": f"c{number}", "response": {"status_code": 400, "body": {"error": error}}, "error": None}


def test_examples_say_different_things(tmp_path: Path) -> None:
    """Of each cause there are up to three examples, no two with the same message, and of a long one its beginning."""
    lines = [failed(n, "the same") for n in range(5)]
    lines += [failed(10 + n, f"other {n}", "coded") for n in range(9)]
    lines += [failed(20, "x" * 9000, "long")]
    lines += [{"custom_id": "late", "response": None, "error": {"code": "batch_expired", "message": "too late"}}]
    storage, record = written(tmp_path, lines)
    found = examples.failures(storage, record)
    assert [one.custom_id for one in found["invalid_request_error"]] == ["c0"]
    assert [one.message for one in found["coded"]] == ["other 0", "other 1", "other 2"]
    assert found["long"][0].message.endswith("(8,600 more characters)")
    assert found["batch_expired"][0].message == "too late"
    storage.remove(names.stored_file("errors"))
    assert examples.failures(storage, record) == {}


CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": [{"message": {"content": "hello"}}]}, "hello"),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "no"),
        ({"choices": [{"message": {"content": None, "tool_calls": [CALL]}}]}, json.dumps([CALL], indent=1)),
        (
            {"object": "response", "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]},
            "hi",
        ),
        ({}, ""),
    ],
)
def test_what_an_answer_says(tmp_path: Path, body: dict[str, Any], text: str) -> None:
    """Texts, refusals and calls of chat completions and responses are shown; without the input nothing was asked."""
    line = {"id": "batch_req_ab_0", "custom_id": "c", "response": {"status_code": 200, "body": body}, "error": None}
    storage, record = written(tmp_path, [line] * 3)
    found = examples.answers(storage, record, skip=1, most=1)
    assert [(one.custom_id, one.question, one.text) for one in found] == [("c", None, text)]
