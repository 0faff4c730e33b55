"""Validation names every bad line by code, line and param; what is accepted can be read again by its number."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from app import ways
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.formats.line import parse
from app.batches.lines import LineReader, split
from app.batches.record import BatchRecord, BatchStatus
from app.batches.storage.local_disk import LocalDisk
from app.batches.validation import Check, Validation, read_faults
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

RECORD = BatchRecord(
    id="batch",
    endpoint=CHAT_COMPLETIONS,
    input_file_id="file-1",
    completion_window="24h",
    status=BatchStatus.VALIDATING,
    created_at=1000,
    expires_at=2000,
)


def line(custom_id: Any = "a", **changes: Any) -> dict[str, Any]:
    body = {"model": "haiku", "messages": [{"role": "user", "content": "hi"}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT_COMPLETIONS, "body": body, **changes}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "haiku", "messages": [{"role": "user", "content": "hi"}], **fields}


def faults(data: bytes, *, is_strict: bool = True, **settings: Any) -> list[tuple[Any, ...]]:
    """Those of the file; if it is not strict, what is wrong with bodies only is none."""
    found = Check(CHAT_COMPLETIONS, Settings(**settings), is_strict=is_strict).verdicts(io.BytesIO(data))
    return [(one.fault.line, one.fault.code, one.fault.param) for one in found if one.fault and not one.is_refused]


def refused(data: bytes) -> list[tuple[Any, ...]]:
    """Those of bodies, in a file that may run."""
    found = Check(CHAT_COMPLETIONS, Settings()).verdicts(io.BytesIO(data))
    return [(one.fault.line, one.fault.code, one.fault.param) for one in found if one.fault and one.is_refused]


@pytest.mark.parametrize(
    ("ladder", "found"), [("cli", [(1, "unsupported_value", "body.service_tier")]), ("batches,api", [])]
)
def test_message_batches_are_asked_for_by_a_line_where_they_are_on(ladder: str, found: list[tuple[Any, ...]]) -> None:
    """Where they are off the line is refused, and not sent at the full price."""
    sent = json.dumps(line(body=body(service_tier="batch"))).encode()
    assert faults(sent, ways=ways.read(ladder)) == found


def given(tmp_path: Path, data: bytes) -> LocalDisk:
    """A storage with this as a batch's input."""
    storage = LocalDisk(tmp_path)
    storage.put("files/uploaded", data)
    storage.link("files/uploaded", "batch/input")
    return storage


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b'"\xff"', "invalid_json_line", None),
        (line("\ud800"), "invalid_json_line", "custom_id"),
        (
            line(body=body(messages=[{"role": "user", "content": "a\udfff"}])),
            "invalid_json_line",
            "body.messages[0].content",
        ),
        (line(None), "missing_required_parameter", "custom_id"),
        (line(7), "invalid_custom_id", "custom_id"),
        (line("x" * 513), "invalid_custom_id", "custom_id"),
        (line(method="GET"), "invalid_method", "method"),
        (line(url="/v1/embeddings"), "url_mismatch", "url"),
        (line(body=[]), "invalid_type", "body"),
        (line(body={"messages": []}), "missing_required_parameter", "body.model"),
        (line(body=body(messages=[{"role": "user", "content": 1}])), "invalid_type", "body.messages[0].content"),
        (line(body=body(stream=True)), "unsupported_value", "body.stream"),
        (line(body=body(callback_url="https://x.org")), "unsupported_value", "body.callback_url"),
        (line(body=body(logprobs=True)), "unsupported_parameter", "body.logprobs"),
    ],
)
def test_a_bad_line_is_named(sent: Any, code: str, param: str | None) -> None:
    """What is wrong is told by OpenAI's code, the line's number, and the path in the line."""
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    good = json.dumps(line("good")).encode()
    assert faults(good + b"\n\n" + raw + b"\n") == [(3, code, param)]


def test_a_refused_body_is_its_lines_own_error() -> None:
    """What is wrong with a body alone is no fault of the file, unless it is to be; an envelope always is, as at OpenAI."""
    good, other = json.dumps(line("good")).encode(), json.dumps(line("other", method="GET")).encode()
    sent = [line("a", body=body(logprobs=True)), line("b", body={"messages": []}), line("c", body=body(stream=True))]
    data = b"\n".join([good, *(json.dumps(one).encode() for one in sent)])
    named = [
        (2, "unsupported_parameter", "body.logprobs"),
        (3, "missing_required_parameter", "body.model"),
        (4, "unsupported_value", "body.stream"),
    ]
    assert (faults(data, is_strict=False), refused(data), faults(data)) == ([], named, named)
    assert faults(data + b"\n" + other, is_strict=False) == [(5, "invalid_method", "method")]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (json.dumps([line("a"), line("b")]), "one JSON array"),
        (json.dumps([line("a"), line("b")], indent=2), "one JSON array"),
        (json.dumps(line("a"), indent=2), "spread over several lines"),
    ],
)
def test_json_that_is_not_lines_is_one_fault_with_the_way_out(data: str, says: str) -> None:
    """An array and pretty-printed JSON are not named line by line; the fault has a command that mends the file."""
    (found,) = Check(CHAT_COMPLETIONS, Settings()).verdicts(io.BytesIO(data.encode()))
    assert found.fault is not None
    assert (found.fault.code, found.fault.line) == ("invalid_json_line", 1)
    assert says in found.fault.message and "jq -c" in found.fault.message


def test_a_comma_at_a_lines_end_is_named() -> None:
    """The most common mistake in JSONL that was made by hand."""
    (found,) = Check(CHAT_COMPLETIONS, Settings()).verdicts(io.BytesIO(json.dumps(line()).encode() + b",\n"))
    assert found.fault is not None
    assert "end without a comma" in found.fault.message


def test_a_model_that_nobody_knows_is_one_fault(tmp_path: Path) -> None:
    """However many lines ask for it, since a batch asks for one model; another model in a refused body is a fault, too."""
    sent = [line(str(n), body=body(model="haikku", logprobs=n == 7)) for n in range(50)]
    data = b"\n".join(json.dumps(one).encode() for one in sent)
    assert faults(data, is_strict=False) == [(1, "model_not_found", "body.model")]
    assert refused(data) == [(8, "unsupported_parameter", "body.logprobs")]
    mixed = [line("a"), line("b", body=body(model="opus", logprobs=True))]
    storage = given(tmp_path, b"\n".join(json.dumps(one).encode() for one in mixed))
    validation = Validation(storage, RECORD, Settings())
    assert validation.step(60)
    assert (validation.faults, validation.refused) == (1, 0)
    assert read_faults(storage, "batch", 5)[0]["code"] == "model_mismatch"


def test_faults_of_the_whole_file() -> None:
    """An id used twice, a second model, no request at all, and too many."""
    one, two = json.dumps(line("1")).encode(), json.dumps(line("2")).encode()
    other = json.dumps(line("3", body=body(model="opus"))).encode()
    assert faults(one + b"\n" + one) == [(2, "duplicate_custom_id", "custom_id")]
    assert faults(one + b"\n" + other) == [(2, "model_mismatch", "body.model")]
    assert faults(b" \n\n") == [(None, "empty_file", None)]
    assert faults(one + b"\n" + two, max_batch_lines=1) == [(None, "too_many_tasks", None)]
    assert faults(one + b"\n" + two, max_batch_lines=2) == []


def test_a_line_beyond_the_limit_is_named_and_not_read() -> None:
    """A line of any length costs no more memory than the limit, and the next one is found."""
    data = b'"' + b"x" * 5000 + b'"\n' + json.dumps(line()).encode()
    assert faults(data, max_body_bytes=1000) == [(1, "line_too_large", None)]


def test_lines_end_at_line_feeds_only() -> None:
    """Other line breaks occur in strings; a mark of byte order and carriage returns of Windows do no harm."""
    sent = line("\u2028\u0085\x0b a")
    data = b"\xef\xbb\xbf" + json.dumps(sent, ensure_ascii=False).encode() + b"\r\n"
    ((span, raw),) = split(io.BytesIO(data), 10_000)
    assert (span.number, span.offset, span.length) == (1, 3, len(data) - 3)
    assert parse(raw, CHAT_COMPLETIONS).custom_id == sent["custom_id"]


def test_the_index_finds_each_line_again(tmp_path: Path) -> None:
    """Done in slices, validation leaves an index by which any line is read; blank ones have no number."""
    sent = [line(str(n)) for n in range(300)]
    storage = given(tmp_path, "\n\n".join(json.dumps(one) for one in sent).encode())
    validation = Validation(storage, RECORD, Settings())
    slices = 1
    while not validation.step(0.0):
        slices += 1
    assert (validation.check.total, validation.faults, validation.check.model) == (300, 0, "haiku")
    assert slices > 100
    reader = LineReader(storage, "batch")
    assert [json.loads(raw) for _, raw in reader.read([299, 0, 7])] == [sent[299], sent[0], sent[7]]


def test_all_faults_are_kept(tmp_path: Path) -> None:
    """The faults are read back as `errors.data` has them, as many as are asked for."""
    storage = given(tmp_path, b"x\n" * 20)
    validation = Validation(storage, RECORD, Settings())
    assert validation.step(60)
    assert validation.faults == 20
    found = read_faults(storage, "batch", 20)
    assert [one["line"] for one in found] == list(range(1, 21))
    assert set(found[0]) == {"code", "line", "message", "param"}
    assert len(read_faults(storage, "batch", 3)) == 3
