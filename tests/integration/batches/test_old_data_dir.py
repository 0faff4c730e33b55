"""A data dir and a Redis that version 0.1.0 has left behind: what ended can be read, and the rest goes on where it was."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.record import BatchRecord, BatchStatus
from app.batches.report import conditions, line_stats
from app.batches.storage import names
from app.batches.validation import read_faults
from app.connection import texts

if TYPE_CHECKING:
    from redis import Redis

    from tests.integration.batches.conftest import Night

LEFT = Path(__file__).with_name("data_dir_0_1_0")
#: the second in which it was left
_LEFT_AT = 1795818673
_SECONDS = re.compile(r"\b179[58]\d{6}\b")


def restore(connection: Redis, saved: dict[str, dict[str, Any]]) -> None:
    """Every key as it was."""
    for key, ((kind, value),) in ((key, tuple(one.items())) for key, one in saved.items()):
        match kind:
            case "hash":
                raw = {k: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for k, v in value.items()}
                connection.hset(key, mapping=raw)
            case "string":
                connection.set(key, value)
            case "zset":
                connection.zadd(key, value)
            case "set":
                connection.sadd(key, *value)
            case "list":
                connection.rpush(key, *value)


@pytest.fixture
def batches(night: Night) -> dict[BatchStatus, BatchRecord]:
    """Those that were left, each of another status; their times as if that had been just now."""
    shutil.copytree(LEFT / "batches", night.settings.data_dir / "batches")
    later = int(time.time()) - _LEFT_AT
    text = _SECONDS.sub(lambda found: str(int(found[0]) + later), (LEFT / "redis.json").read_text())
    restore(night.connection, json.loads(text))
    found = [night.batches.require(one) for one in texts(night.connection.zrange("nightshift:batches", 0, -1))]
    return {record.status: record for record in found}


def test_what_has_ended_is_read(night: Night, batches: dict[BatchStatus, BatchRecord]) -> None:
    """Files, answers, errors, faults and all that the report is made of are what they were."""
    ended = batches[BatchStatus.COMPLETED]
    for file_id, size in ended.files:
        with night.batches.files.open(night.batches.files.require(file_id)) as file:
            assert len(file.read()) == size > 0
    assert [one["custom_id"] for one in night.output(ended)] == ["a"]
    assert [one["custom_id"] for one in night.output(ended, errors=True)] == ["b"]
    known = list(line_stats.read(night.batches.storage, ended))
    assert sorted((one.number, one.kind, one.worker) for one in known) == [(0, "completed", "w1"), (1, "failed", "")]
    assert conditions.frozen(night.batches.storage, ended.id) == conditions.Conditions()
    (fault,) = read_faults(night.batches.storage, batches[BatchStatus.FAILED].id, 9)
    assert (fault["code"], fault["line"]) == ("invalid_json_line", 1)


def test_what_has_not_ended_goes_on(night: Night, batches: dict[BatchStatus, BatchRecord]) -> None:
    """Each line is in the output once, what was not counted is cut off, and the uploads are there for another batch."""
    half, fresh = batches[BatchStatus.IN_PROGRESS], batches[BatchStatus.VALIDATING]
    assert night.path(names.stored_file(half.output_file)).read_bytes().endswith(b'{"never counted": tr')
    night.feeder.run_once()
    assert night.queued() == ["second", "third", "new"]
    while night.queued():
        night.answer()
    assert night.look(half).status is night.look(fresh).status is BatchStatus.COMPLETED
    ended = night.batches.require(half.id)
    assert [one["custom_id"] for one in night.output(ended)] == ["first", "second", "third"]
    assert [one.number for one in line_stats.read(night.batches.storage, ended)] == [0, 1, 2]
    assert len(night.batches.files.page(purpose="batch", limit=9, after=None)) == 4


def test_what_was_broken_off_is_removed(night: Night, batches: dict[BatchStatus, BatchRecord]) -> None:
    """An upload that its process did not end goes from the disk a day later."""
    (broken_off,) = (name for name, _ in night.batches.storage.find("files/.part-"))
    assert night.path(broken_off).read_bytes() == b"broken off"
    night.batches.files.remove_old(time.time())
    assert night.path(broken_off).exists()
    long_ago = time.time() - 25 * 3600
    os.utime(night.path(broken_off), (long_ago, long_ago))
    night.batches.files.remove_old(time.time())
    assert not night.path(broken_off).exists()
