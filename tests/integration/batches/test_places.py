"""Several data dirs on one Redis: each batch belongs to the one that has its files, and no other stops it."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app import clock
from app.batches import elsewhere, leadership
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.leadership import lease_key
from app.batches.record import BATCH_RETENTION, BatchRecord, BatchStatus, batch_key
from app.batches.storage import StorageError, names
from app.batches.storage.local_disk import LocalDisk
from app.batches.store import Batches, NewBatch
from app.errors import ErrorReply
from app.outcome import Outcome
from tests.integration.batches.conftest import Night, line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def other(night: Night, tmp_path: Path) -> Night:
    """Another machine, with a data dir of its own, on the same Redis."""
    settings = replace(night.settings, data_dir=tmp_path / "other")
    connection = Redis.from_url(night.settings.redis_url or "")
    return Night(connection, settings, Batches(connection, settings), Feeder(connection, settings))


def new(night: Night, lines: int = 1) -> NewBatch:
    data = b"".join(json.dumps(line(str(number))).encode() + b"\n" for number in range(lines))
    return NewBatch(input_file_id=night.upload(data), endpoint=CHAT_COMPLETIONS)


def leave(night: Night) -> None:
    """Its machine is switched off: its lease has ended."""
    night.feeder.close()
    night.connection.delete(night.lease)


def status(night: Night, batch: BatchRecord) -> BatchStatus:
    return night.batches.require(batch.id).status


def test_a_second_directory_stops_nothing(night: Night, other: Night) -> None:
    """A batch that is made in another data dir leaves the first one's running, and both complete where their files are."""
    first = night.start([line("a"), line("b")])
    second = other.start([line("c")])
    assert night.look(first).status is BatchStatus.IN_PROGRESS
    for _ in range(3):
        night.answer()
    for one in (night, other, night, other):
        one.feeder.run_once()
    assert status(night, first) is BatchStatus.COMPLETED
    assert status(night, second) is BatchStatus.COMPLETED
    assert [one["custom_id"] for one in other.output(other.batches.require(second.id))] == ["c"]
    assert sorted(one["custom_id"] for one in night.output(night.batches.require(first.id))) == ["a", "b"]


def test_both_share_the_queue(night: Night, other: Night) -> None:
    """Two directories together keep no more lines in the queue than one alone, and each batch has its share of them."""
    settings = replace(night.settings, batch_in_queue=4)
    feeders = [Feeder(one.connection, replace(settings, data_dir=one.settings.data_dir)) for one in (night, other)]
    for one in (night, other):
        one.batches.create(new(one, 20))
    for _ in range(4):
        for feeder in feeders:
            feeder.run_once()
    assert len(night.queued()) == 4
    for _ in range(8):
        night.answer()
        for feeder in feeders:
            feeder.run_once()
    assert len(night.queued()) == 4
    assert [batch.fed for batch in night.batches.active()] == [6, 6]


def test_a_batch_of_a_file_that_is_elsewhere_is_refused(night: Night, other: Night) -> None:
    """It is a 503 in the words of the file's content, leaves no trace, and the machine that has the file goes on."""
    wanted = new(night)
    night.feeder.run_once()
    with pytest.raises(ErrorReply) as raised:
        other.batches.create(wanted)
    assert (raised.value.status, raised.value.code) == (503, "files_elsewhere")
    assert f"The bytes of {wanted.input_file_id} are not on this machine" in raised.value.message
    assert f"They are in {night.settings.data_dir}" in raised.value.message
    assert other.batches.active() == []
    assert night.look(night.batches.create(wanted)).status is BatchStatus.IN_PROGRESS


def test_a_batch_of_a_file_that_is_gone_is_refused(night: Night) -> None:
    """It is a 404 that names the file, no 500."""
    wanted = new(night)
    night.batches.storage.remove(names.stored_file(wanted.input_file_id))
    with pytest.raises(ErrorReply) as raised:
        night.batches.create(wanted)
    assert (raised.value.status, raised.value.code) == (404, "file_not_found")


def test_one_that_validates_elsewhere_blocks_no_later_one(night: Night, other: Night) -> None:
    """An older batch whose files are on a machine that is away keeps none from being validated, and says what it waits for."""
    away = other.batches.create(new(other))
    other.feeder.run_once()
    leave(other)
    night.connection.hset(batch_key(away.id), mapping={"status": "validating", "in_progress_at": ""})
    night.connection.hdel(batch_key(away.id), "in_progress_at")
    assert night.start([line("a")]).status is BatchStatus.IN_PROGRESS
    why = leadership.stalled(night.connection, night.batches.require(away.id))
    assert why is not None and why.code == "files_elsewhere"
    assert str(other.settings.data_dir) in why.reason


def test_one_that_can_not_be_read_blocks_no_later_one(night: Night) -> None:
    """An older batch whose input can't be read now says so, and the next one is validated; readable again, it goes on."""
    stuck = night.batches.create(new(night))
    directory = night.path(stuck.id)
    (directory / "input").rename(directory / "aside")
    (directory / "input").mkdir()
    assert night.start([line("a")]).status is BatchStatus.IN_PROGRESS
    record = night.batches.require(stuck.id)
    why = leadership.stalled(night.connection, record)
    assert why is not None and (why.code, why.reason) == ("files_unusable", "Its files can't be used: Is a directory.")
    (directory / "input").rmdir()
    (directory / "aside").rename(directory / "input")
    found = night.look(stuck)
    assert (found.status, found.stuck) == (BatchStatus.IN_PROGRESS, "")


def test_nobody_does_the_work(night: Night) -> None:
    """A batch says so when no process at all feeds."""
    made = night.batches.create(new(night))
    why = leadership.stalled(night.connection, made)
    assert why is not None and why.code == "no_feeder"
    night.feeder.run_once()
    assert leadership.stalled(night.connection, night.batches.require(made.id)) is None


def test_the_data_dir_is_lost(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted and made anew, with Redis kept: its batches fail as `files_lost`, their jobs end, and new ones run."""
    monkeypatch.setattr(elsewhere, "_LOOK_SECONDS", 0.0)
    lost = night.start([line("a"), line("b")])
    leave(night)
    shutil.rmtree(night.settings.data_dir / "batches")
    night.feeder = Feeder(night.connection, night.settings)
    after = night.look(lost)
    assert (after.status, after.failure, after.unrun) == (BatchStatus.FAILED, "files_lost", 2)
    assert night.queued() == []
    assert night.connection.keys("*batch_req*") == []
    assert night.start([line("c")]).status is BatchStatus.IN_PROGRESS


def test_the_data_dir_is_lost_while_it_is_used(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same under a running feeder, which makes the directory anew."""
    monkeypatch.setattr(elsewhere, "_LOOK_SECONDS", 0.0)
    lost = night.start([line("a")])
    shutil.rmtree(night.settings.data_dir / "batches")
    night.connection.delete(lease_key(night.feeder._leadership.place))
    assert night.look(lost).failure == "files_lost"


@pytest.mark.parametrize("how", ["running", "cancelled", "expired"])
def test_a_batch_s_own_directory_is_lost(night: Night, how: str) -> None:
    """However it would have ended, a batch whose directory is gone ends as failed, `files_lost`."""
    batch = night.start([line(str(number)) for number in range(100)])
    shutil.rmtree(night.path(batch.id))
    if how == "cancelled":
        night.batches.cancel(batch.id)
    if how == "expired":
        night.connection.hset(batch_key(batch.id), "expires_at", time.time() - 1)
    if how == "running":
        night.answer()
    for _ in range(3):
        night.feeder.run_once()
    after = night.batches.require(batch.id)
    assert (after.status, after.failure) == (BatchStatus.FAILED, "files_lost")
    assert night.queued() == []


def test_an_output_that_is_lost_is_not_called_complete(night: Night) -> None:
    """A batch whose output file was removed fails; it is never completed with zeros or nothing in it."""
    batch = night.start([line("a"), line("b")])
    night.answer()
    night.look(batch)
    night.batches.storage.remove(names.stored_file(batch.output_file))
    night.answer()
    assert night.look(batch).failure == "files_lost"


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_what_is_over_ends_though_its_files_are_elsewhere(
    night: Night, other: Night, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its machine away for good, a batch that is cancelled or expires ends as failed, `files_lost`; what was answered is kept."""
    monkeypatch.setattr(elsewhere, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(elsewhere, "UNLED_SECONDS", 0.2)
    batch = other.start([line("a"), line("b")])
    other.answer(Outcome(body={"id": "x", "object": "chat.completion", "choices": []}))
    other.look(batch)
    leave(other)
    if how == "cancelled":
        night.batches.cancel(batch.id)
    else:
        night.connection.hset(batch_key(batch.id), "expires_at", time.time() - 1)
    night.feeder.run_once()
    assert not status(night, batch).is_final
    time.sleep(0.3)
    night.feeder.run_once()
    after = night.batches.require(batch.id)
    assert (after.status, after.failure, after.completed, after.unrun) == (BatchStatus.FAILED, "files_lost", 1, 1)
    assert night.queued() == []
    kept = other.batches.files.get(after.output_file)
    assert kept is not None
    with other.batches.files.open(kept) as file:
        assert len(file.read()) == kept.bytes
    with pytest.raises(ErrorReply, match="not on this machine"):
        night.batches.files.open(kept)


def test_a_machine_that_is_away_for_a_moment_keeps_its_batches(night: Night, other: Night) -> None:
    """A batch goes on where its files are when its machine is back, and no other has touched it."""
    batch = other.start([line("a")])
    leave(other)
    night.feeder.run_once()
    assert status(night, batch) is BatchStatus.IN_PROGRESS
    other.answer()
    back = Feeder(other.connection, other.settings)
    back.run_once()
    assert status(night, batch) is BatchStatus.COMPLETED


def test_what_is_deleted_elsewhere_goes_from_the_disk(
    night: Night, other: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is deleted through another machine's API is removed by the one that has it."""
    monkeypatch.setattr("app.batches.feeder.TIDY_SECONDS", 0.0)
    file_id = night.upload(b"{}\n")
    path = night.path(names.stored_file(file_id))
    assert other.batches.files.delete(file_id)
    assert path.exists()
    night.feeder.run_once()
    assert not path.exists()


def test_directories_that_nobody_needs_are_forgotten(
    night: Night, other: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in which nobody works stays known as long as a batch waits for its files, and no longer."""
    monkeypatch.setattr("app.batches.feeder.TIDY_SECONDS", 0.0)
    batch = other.start([line("a")])
    leave(other)
    night.feeder.run_once()
    where = other.batches.storage.identity()
    assert where in leadership.known_storages(night.connection)
    other.answer()
    assert other.look(batch).status is BatchStatus.COMPLETED
    leave(other)
    night.feeder.run_once()
    assert list(leadership.known_storages(night.connection)) == [night.batches.storage.identity()]


def test_a_folder_whose_removal_was_broken_off_is_removed_later(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies between forgetting a batch and removing its folder leaves that to the next."""
    batch = night.start([line("a")])
    night.answer()
    assert night.look(batch).status is BatchStatus.COMPLETED
    night.connection.zadd(BATCH_RETENTION, {batch.id: 0})

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(LocalDisk, "remove_folder", die)
        with pytest.raises(KeyboardInterrupt):
            night.batches.remove_old(time.time())
    assert night.batches.get(batch.id) is None
    assert night.path(names.batch_input(batch.id)).exists()
    night.batches.remove_old(time.time())
    assert not night.path(batch.id).exists()


def test_a_file_whose_removal_was_broken_off_is_removed_later(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has seen an error, and finds no such file when it tries again."""
    file_id = night.upload(b"{}\n")
    files, storage = night.batches.files, night.batches.storage

    def away(*_: object) -> None:
        raise StorageError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", away)
        with pytest.raises(StorageError):
            files.delete(file_id)
    assert not files.delete(file_id)
    assert storage.size(names.stored_file(file_id)) == 3
    files.remove_old(clock.now())
    assert storage.size(names.stored_file(file_id)) is None


def test_a_full_redis_lets_a_file_go(night: Night) -> None:
    """Though it takes no note of what is to be removed."""
    file_id = night.upload(b"{}\n")
    night.connection.config_set("maxmemory", 1)
    try:
        assert night.batches.files.delete(file_id)
    finally:
        night.connection.config_set("maxmemory", 0)
    assert night.batches.storage.size(names.stored_file(file_id)) is None


def test_leaders(night: Night, other: Night) -> None:
    """Each directory has one, and their names tell them apart."""
    for one in (night, other):
        one.feeder.run_once()
    found = leadership.leaders(night.connection)
    assert {leader.place for leader in found} == {one.batches.storage.identity() for one in (night, other)}


def test_a_directory_keeps_its_name(tmp_path: Path) -> None:
    """Two directories have different ones."""
    first, second = tmp_path / "a", tmp_path / "b"
    assert LocalDisk(first).identity() == LocalDisk(first).identity() != LocalDisk(second).identity()
