"""Records as Redis hashes: what older code wrote is read, and what is written is written as before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from app import hashes
from app.batches.file_record import FileRecord, Purpose
from app.batches.record import BatchRecord, BatchStatus
from app.gate import Cause, Closed
from app.jobs.record import JobRecord, Status
from app.supervisors import SupervisorStatus
from app.worker_status import WorkerState, WorkerStatus

#: the texts of version 0.1.0, and the record that they are
OLD: list[tuple[dict[str, str], Any]] = [
    (
        {
            "id": "chatcmpl-1",
            "kind": "chat.completion",
            "status": "in_progress",
            "model": "claude-sonnet-4-5",
            "created_at": "1764000000.25",
            "deadline_at": "1764000600.25",
            "started_at": "1764000001.5",
            "attempts": "2",
            "delays": "0",
            "max_attempts": "3",
            "max_sends": "0",
            "sends": "0",
            "sent_by": "",
            "deaths": "1",
            "execution": "e1",
            "published_by": "",
            "requeued_by": "",
            "worker": "w1",
            "callback_url": "",
            "service_tier": "",
            "background": "False",
            "is_stored": "True",
            "is_deleted": "False",
            "streams": "False",
            "streamed_by": "",
            "waiting_for": "",
            "request_id": "",
            "traceparent": "",
            "tracestate": "",
            "metadata": '{"a": "b", "\\u00e4": "\\"q\\""}',
            "choices": "0",
            "parent": "",
            "version": "1",
        },
        JobRecord(
            id="chatcmpl-1",
            kind="chat.completion",
            status=Status.IN_PROGRESS,
            model="claude-sonnet-4-5",
            created_at=1764000000.25,
            deadline_at=1764000600.25,
            started_at=1764000001.5,
            attempts=2,
            max_attempts=3,
            deaths=1,
            execution="e1",
            worker="w1",
            is_stored=True,
            metadata={"a": "b", "ä": '"q"'},
        ),
    ),
    (
        {
            "id": "batch_1",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-1",
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": "1.5",
            "expires_at": "2.5",
            "model": "",
            "total": "3",
            "completed": "0",
            "failed": "0",
            "unrun": "0",
            "fed": "2",
            "output_file": "",
            "error_file": "",
            "output_bytes": "0",
            "error_bytes": "0",
            "facts_bytes": "0",
            "place": "",
            "failure": "",
            "stuck": "",
            "faults": "0",
            "refused": "0",
            "input_tokens": "0",
            "output_tokens": "0",
            "cached_tokens": "0",
            "reasoning_tokens": "0",
            "cost_usd": "0.25",
            "unpriced": "0",
            "callback_url": "",
            "input_name": "",
            "offline": "True",
            "window": "",
            "metadata": '{"a": "b"}',
        },
        BatchRecord(
            id="batch_1",
            endpoint="/v1/chat/completions",
            input_file_id="file-1",
            completion_window="24h",
            status=BatchStatus.IN_PROGRESS,
            created_at=1.5,
            expires_at=2.5,
            total=3,
            fed=2,
            cost_usd=0.25,
            offline=True,
            metadata={"a": "b"},
        ),
    ),
    (
        {
            "id": "file-1",
            "filename": "night.jsonl",
            "purpose": "batch",
            "bytes": "12",
            "created_at": "1.5",
            "expires_at": "2.5",
            "place": "here",
        },
        FileRecord(
            id="file-1",
            filename="night.jsonl",
            purpose=Purpose.BATCH,
            bytes=12,
            created_at=1.5,
            expires_at=2.5,
            place="here",
        ),
    ),
    (
        {"cause": "login", "since": "1.5", "until": "inf", "probe_at": "2.5", "reason": "no login", "limit": ""},
        Closed(Cause.LOGIN, 1.5, math.inf, 2.5, "no login"),
    ),
    (
        {
            "name": "w1",
            "state": "busy",
            "reason": "",
            "job": "chatcmpl-1",
            "job_started_at": "1.5",
            "turns": "3",
            "turns_total": "4",
            "restarts": '{"rss": 1}',
            "errors": "0",
            "rss_mb": "12.5",
            "python_rss_mb": "0.0",
            "cli_version": "",
            "login": "",
            "pid": "7",
            "started_at": "0.0",
            "clock_skew_seconds": "0.0",
            "beat_at": "2.5",
        },
        WorkerStatus(
            name="w1",
            state=WorkerState.BUSY,
            job="chatcmpl-1",
            job_started_at=1.5,
            turns=3,
            turns_total=4,
            restarts={"rss": 1},
            rss_mb=12.5,
            pid=7,
            beat_at=2.5,
        ),
    ),
    (
        {
            "name": "host:1",
            "part": "up",
            "host": "host",
            "data_dir": "/data",
            "clock_skew_seconds": "-0.5",
            "rests": "",
            "secrets": "",
            "beat_at": "2.5",
        },
        SupervisorStatus(name="host:1", part="up", host="host", data_dir="/data", clock_skew_seconds=-0.5, beat_at=2.5),
    ),
]


def stored(fields: dict[str, str]) -> dict[bytes, bytes]:
    """As Redis gives them."""
    return {name.encode(): text.encode() for name, text in fields.items()}


@pytest.mark.parametrize(("fields", "record"), OLD, ids=[type(record).__name__ for _, record in OLD])
def test_what_older_code_wrote_is_read(fields: dict[str, str], record: Any) -> None:
    """Each field as it was meant, and one that only other code knows is left aside."""
    assert hashes.from_hash(type(record), stored({**fields, "of_newer_code": "1"})) == record


@pytest.mark.parametrize(("fields", "record"), OLD, ids=[type(record).__name__ for _, record in OLD])
def test_the_texts_stay_as_they_were(fields: dict[str, str], record: Any) -> None:
    """Older code beside this one reads what is written here."""
    written = hashes.to_hash(record)
    assert {name: written[name] for name in fields} == fields


def test_a_record_of_the_first_layout_has_defaults_for_the_rest() -> None:
    """Fields that came later are as if nobody had set them."""
    first = {"id": "job", "kind": "chat.completion", "status": "queued", "model": "m", "created_at": "1"}
    record = JobRecord.from_hash(stored({**first, "deadline_at": "2"}))
    assert record == JobRecord(
        id="job", kind="chat.completion", status=Status.QUEUED, model="m", created_at=1.0, deadline_at=2.0
    )


def test_no_hash_is_no_record() -> None:
    """Redis has no empty hashes: it says so that there is none."""
    assert JobRecord.from_hash({}) is None


def test_what_is_no_record_raises() -> None:
    """It is not taken for one with defaults."""
    with pytest.raises(ValueError, match="created_at"):
        JobRecord.from_hash(stored({"id": "job", "kind": "k", "status": "queued", "model": "m", "deadline_at": "2"}))


def test_the_difference_makes_one_hash_the_other() -> None:
    """What is written and deleted is what the two hashes do not share."""
    before = JobRecord(
        id="chatcmpl-1",
        kind="chat.completion",
        status=Status.QUEUED,
        model="sonnet",
        created_at=1.0,
        deadline_at=2.0,
        started_at=1.0,
        metadata={"a": "b"},
    )
    after = replace(before, started_at=None, attempts=1, finished_at=2.0, metadata={"a": "c"})
    changed, gone = hashes.difference(before, after)
    assert (changed, gone) == ({"attempts": "1", "finished_at": "2.0", "metadata": '{"a": "c"}'}, ["started_at"])
    assert {name: text for name, text in (before.to_hash() | changed).items() if name not in gone} == after.to_hash()
    assert hashes.difference(after, after) == ({}, [])
