"""A batch whose bytes are on no disk: no step of its life knows what it is stored on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app import clock, errors
from app.batches import leadership, retry
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.record import BatchStatus
from app.batches.report import examples, line_stats
from app.batches.storage import names
from app.batches.store import Batches, NewBatch
from app.outcome import Outcome
from app.settings import Settings
from tests.integration.batches.conftest import Night, line
from tests.segments import Segments

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Segments:
    found = Segments()
    monkeypatch.setattr("app.batches.store.open_storage", lambda settings: found)
    return found


def test_a_batch_on_a_storage_without_append(
    redis_url: str, tmp_path: Path, segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploaded, validated, answered over two feeders, reported, run again and removed; nothing is written to a data dir."""
    settings = Settings(data_dir=tmp_path / "none", redis_url=redis_url)
    with Redis.from_url(redis_url) as connection:
        night = Night(connection, settings, Batches(connection, settings), Feeder(connection, settings))
        data = b"".join(json.dumps(line(one)).encode() + b"\n" for one in ("a", "b", "c"))
        made = night.batches.create(NewBatch(input_file_id=night.upload(data), endpoint=CHAT_COMPLETIONS))
        assert night.look(made).total == 3
        night.answer()
        half = night.look(made)
        output = names.stored_file(half.output_file)
        segments.append(output, half.output_bytes, b"written by a feeder that died")
        night.feeder.close()
        connection.delete(leadership.lease_key(segments.identity()))
        night.feeder = Feeder(connection, settings)
        night.answer(Outcome(error=errors.invalid_request("no", "messages")))
        night.answer()
        ended = night.look(made)
        assert (ended.status, ended.completed, ended.failed) == (BatchStatus.COMPLETED, 2, 1)
        with night.batches.files.open(night.batches.files.require(ended.output_file)) as file:
            assert [json.loads(one)["custom_id"] for one in file] == ["a", "c"]
        assert [one.kind for one in line_stats.read(segments, ended)] == ["completed", "failed", "completed"]
        (answer,) = examples.answers(segments, ended, skip=1, most=1)
        assert (answer.custom_id, answer.question) == ("c", "c")
        again = night.look(retry.retry_failed(night.batches, settings, ended.id))
        assert (again.total, night.queued()) == (1, ["b"])
        monkeypatch.setattr("app.batches.feeder.TIDY_SECONDS", 0.0)
        connection.zadd("nightshift:batches:retention", {ended.id: clock.now() - 1})
        night.feeder._next_tidy = 0.0
        night.feeder.run_once()
        assert not [name for name, _ in segments.objects if name.startswith(ended.id)]
        night.feeder.close()
    assert not (tmp_path / "none").exists()
