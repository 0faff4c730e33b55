"""Batches in an object store that several machines share: none of them has the files, and any of them goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore
from redis import Redis

from app import errors
from app.batches import leadership, retry
from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.feeder import Feeder
from app.batches.leadership import Leadership, lease_key
from app.batches.record import BatchStatus, Hold
from app.batches.report import examples, line_stats
from app.batches.storage import counted_lines, names
from app.batches.storage.object_store import ObjectStore
from app.batches.store import Batches, NewBatch
from app.outcome import Outcome
from app.settings import Settings
from tests.integration.batches.conftest import Night, line
from tests.s3 import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.batches.record import BatchRecord
    from tests.s3 import S3ForTests

Machine = "Callable[[str], Night]"


@pytest.fixture
def machine(redis_url: str, tmp_path: Path, s3: S3ForTests) -> Iterator[Callable[[str], Night]]:
    """A machine of that name, with a data dir of its own."""
    del s3
    made: list[Night] = []

    def start(name: str) -> Night:
        settings = Settings(data_dir=tmp_path / name, redis_url=redis_url, storage="s3://nightshift/of/tests")
        connection = Redis.from_url(redis_url)
        made.append(Night(connection, settings, Batches(connection, settings), Feeder(connection, settings)))
        return made[-1]

    yield start
    for one in made:
        one.feeder.close()
        one.connection.close()


def die(night: Night) -> None:
    """Its lease ends, and nothing else is done."""
    night.connection.delete(lease_key(night.batches.storage.identity()))


def output(night: Night, batch: BatchRecord) -> list[str]:
    record = night.batches.require(batch.id)
    lines = counted_lines(night.batches.storage, names.stored_file(record.output_file), record.output_bytes)
    return [json.loads(one)["custom_id"] for one in lines]


def upload(night: Night, count: int) -> str:
    return night.upload(b"".join(json.dumps(line(str(number))).encode() + b"\n" for number in range(count)))


def test_any_machine_goes_on(machine: Callable[[str], Night], tmp_path: Path) -> None:
    """Uploaded at one, made a batch of at another, fed by the first, which dies with its disk in the middle of writing."""
    one, two = machine("one"), machine("two")
    batch = two.batches.create(NewBatch(input_file_id=upload(one, 4), endpoint=CHAT_COMPLETIONS))
    assert one.look(batch).total == 4
    assert two.look(batch).ended == 0
    assert leadership.stalled(two.connection, batch) is None
    one.answer()
    half = one.look(batch)
    assert (half.completed, output(two, batch)) == (1, ["0"])
    one.batches.storage.append(names.stored_file(half.output_file), half.output_bytes, b"what nobody has counted")
    one.answer(Outcome(error=errors.invalid_request("no", "messages")))
    die(one)
    assert two.look(batch).failed == 1
    two.answer()
    two.answer()
    ended = two.look(batch)
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.COMPLETED, 3, 1)
    assert output(two, batch) == ["0", "2", "3"]
    with one.batches.files.open(one.batches.files.require(ended.output_file)) as file:
        assert len(file.read()) == ended.output_bytes
    assert [stats.kind for stats in line_stats.read(one.batches.storage, ended)] == [
        "completed",
        "failed",
        *["completed"] * 2,
    ]
    (answer,) = examples.answers(one.batches.storage, ended, skip=2, most=1)
    assert (answer.custom_id, answer.question) == ("3", "3")
    assert two.look(retry.retry_failed(one.batches, one.settings, ended.id)).total == 1
    assert two.batches.files.delete(ended.output_file)
    assert one.batches.storage.size(names.stored_file(ended.output_file)) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_feeder_that_slept_changes_nothing(machine: Callable[[str], Night], monkeypatch: pytest.MonkeyPatch) -> None:
    """It was about to write when its lease ended; another machine has gone on since."""
    one, two = machine("one"), machine("two")
    batch = two.batches.create(NewBatch(input_file_id=upload(one, 3), endpoint=CHAT_COMPLETIONS))
    one.look(batch)
    one.answer()
    append, slept = one.feeder._storage.append, list[str]()

    def sleep(name: str, length: int, data: bytes) -> int:
        if not slept:
            slept.append(name)
            die(one)
            two.answer()
            assert two.look(batch).completed == 2
        return append(name, length, data)

    monkeypatch.setattr(one.feeder._storage, "append", sleep)
    one.look(batch)
    assert output(two, batch) == ["0", "1"]
    two.answer()
    assert two.look(batch).status is BatchStatus.COMPLETED
    assert output(one, batch) == ["0", "1", "2"]


def test_a_leader_that_is_it_again_reads_anew(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It slept through the whole time of another one, which has ended since."""
    shared = MemoryStore()
    monkeypatch.setattr("obstore.store.from_url", lambda *_, **__: shared)
    with Redis.from_url(redis_url) as connection:
        one, two = ObjectStore("s3://nightshift"), ObjectStore("s3://nightshift")
        leader, other = Leadership(connection, one), Leadership(connection, two)
        assert leader.hold()
        one.put("files/a", b"before")
        with one.open("files/a") as file:
            assert file.read() == b"before"
        connection.delete(lease_key(leader.place))
        assert other.hold()
        two.put("files/a", b"of another's")
        connection.delete(lease_key(leader.place))
        assert leader.hold()
        with one.open("files/a") as file:
            assert file.read() == b"of another's"


def test_a_store_that_turns_read_only(machine: Callable[[str], Night], s3: S3ForTests) -> None:
    """In the middle of a night the batch waits and says why, nothing is marked done, and it goes on by itself."""
    night = machine("one")
    batch = night.batches.create(NewBatch(input_file_id=upload(night, 3), endpoint=CHAT_COMPLETIONS))
    night.look(batch)
    night.answer()
    s3.fail(Fault.REFUSED, "PUT|POST|DELETE", "")
    for _ in range(2):
        waiting = night.look(batch)
    assert (waiting.completed, waiting.output_bytes, waiting.status) == (0, 0, BatchStatus.IN_PROGRESS)
    stalled = leadership.stalled(night.connection, waiting)
    assert stalled is not None
    assert stalled.code is Hold.FILES_UNUSABLE
    assert "s3://nightshift/of/tests does not allow it" in stalled.reason
    s3.heal()
    assert night.look(batch).completed == 1
    assert night.batches.require(batch.id).stuck == ""
    s3.put(f"of/tests/{names.stored_file(waiting.output_file)}/00000000", b'{"custom_id": "forged"}\n')
    die(night)
    another = machine("two")
    night.answer()
    night.answer()
    altered = another.look(batch)
    assert (altered.completed, altered.status) == (1, BatchStatus.IN_PROGRESS)
    assert "was altered" in altered.stuck


def test_files_that_were_removed_are_lost(machine: Callable[[str], Night]) -> None:
    """The store is the one that it was, and has them no more: the batch ends and says so."""
    night = machine("one")
    batch = night.batches.create(NewBatch(input_file_id=upload(night, 12), endpoint=CHAT_COMPLETIONS))
    night.look(batch)
    night.batches.storage.remove_folder(batch.id)
    die(night)
    another = machine("two")
    another.answer()
    assert another.look(batch).status is BatchStatus.FAILED


def test_lines_are_gathered_while_others_run(machine: Callable[[str], Night], monkeypatch: pytest.MonkeyPatch) -> None:
    """An append costs a request, however small: so not each line has its own. The last ones are not kept waiting."""
    monkeypatch.setattr(ObjectStore, "gather_seconds", 3600.0)
    night = machine("one")
    batch = night.batches.create(NewBatch(input_file_id=upload(night, 9), endpoint=CHAT_COMPLETIONS))
    night.look(batch)
    night.answer()
    assert night.look(batch).completed == 1
    while len(night.queued()) == 4:
        for _ in range(4):
            night.answer()
        # None is in flight, and the next ones are fed before anything is written.
        after = night.look(batch)
        assert after.completed in (1, 9)
    assert (after.status, after.completed) == (BatchStatus.COMPLETED, 9)
    assert output(night, batch) == [str(number) for number in range(9)]


def test_a_store_of_another_name_is_elsewhere(machine: Callable[[str], Night], redis_url: str, tmp_path: Path) -> None:
    """Its batches wait, and the page says where their files are."""
    night = machine("one")
    batch = night.batches.create(NewBatch(input_file_id=upload(night, 1), endpoint=CHAT_COMPLETIONS))
    night.look(batch)
    die(night)
    settings = replace(night.settings, data_dir=tmp_path / "two", storage="s3://nightshift/another")
    with Redis.from_url(redis_url) as connection:
        other = Feeder(connection, settings)
        other.run_once()
        stalled = leadership.stalled(connection, batch)
        other.close()
    assert stalled is not None
    assert "Its files are in s3://nightshift/of/tests, where no Nightshift runs now" in stalled.reason
