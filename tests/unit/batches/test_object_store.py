"""An object store as a storage: what it does when requests fail, and when two write."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest
from obstore.store import LocalStore

from app.batches.storage import FilesLost, StorageError
from app.batches.storage.bucket import Bucket
from app.batches.storage.object_reader import BLOCK_BYTES
from app.batches.storage.object_store import ObjectStore
from app.batches.storage.protocol import FilesAltered, NotOurs
from tests.s3 import Fault, S3ForTests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URL = "s3://nightshift/of/tests"


def store(is_held: Callable[[], bool] | None = None) -> ObjectStore:
    found = ObjectStore(URL)
    if is_held is not None:
        found.guard(is_held)
    return found


def read(storage: ObjectStore, name: str) -> bytes:
    with storage.open(name) as file:
        return file.read()


@pytest.mark.usefixtures("s3")
def test_what_grows_is_cut_into_blocks() -> None:
    """An append may span several of them; another process goes on in the middle of one, and cuts."""
    first, data = store(lambda: True), os.urandom(2 * BLOCK_BYTES + 100)
    length = 0
    for end in (10, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 5, len(data)):
        length = first.append("files/a", length, data[length:end])
    assert (length, first.size("files/a"), read(first, "files/a")) == (len(data), len(data), data)
    second = store(lambda: True)
    cut = BLOCK_BYTES + 3
    second.cut("files/a", cut)
    assert (second.size("files/a"), read(first, "files/a")) == (cut, data[:cut])
    assert second.append("files/a", cut, b"more") == cut + 4
    with second.open("files/a") as file:
        file.seek(BLOCK_BYTES - 2)
        assert file.read() == data[BLOCK_BYTES - 2 : cut] + b"more"
        assert file.seek(0, os.SEEK_END) == cut + 4
    second.cut("files/a", BLOCK_BYTES)
    assert read(second, "files/a") == data[:BLOCK_BYTES]
    second.link("files/a", "batch/input")
    second.remove("files/a")
    assert (second.size("files/a"), read(second, "batch/input")) == (None, data[:BLOCK_BYTES])


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.LOST_ANSWER, Fault.CUT])
def test_a_request_that_fails_once_is_sent_again(s3: S3ForTests, fault: Fault) -> None:
    """Also a write that was done, and is refused when it is sent again since it is there. Each is there once."""
    storage = store(lambda: True)
    for number, piece in enumerate((b"one\n", b"two\n")):
        s3.fail(fault, "PUT", "files/a", times=1)
        assert storage.append("files/a", 4 * number, piece) == 4 * number + 4
    s3.fail(fault, "GET", "files/a", times=1)
    assert read(storage, "files/a") == b"one\ntwo\n"
    s3.fail(fault, "PUT", "files/b", times=1)
    storage.put("files/b", b"kept")
    s3.fail(fault, "PUT", "place", times=1)
    assert storage.identity() == store().identity()


def test_a_list_that_lags_changes_no_content(s3: S3ForTests) -> None:
    """Where a byte is follows from its offset: nothing is looked for in a list."""
    storage = store(lambda: True)
    storage.append("files/a", 0, b"x" * BLOCK_BYTES + b"end")
    s3.fail(Fault.OLD_LIST, "GET", "list-type=2")
    another = store(lambda: True)
    assert another.append("files/a", BLOCK_BYTES + 3, b"more") == another.size("files/a") == BLOCK_BYTES + 7
    another.cut("files/a", BLOCK_BYTES + 3)
    assert read(another, "files/a")[BLOCK_BYTES:] == b"end"


@pytest.mark.parametrize(
    ("fault", "number", "words"),
    [(Fault.REFUSED, errno.EACCES, "does not allow it"), (Fault.FULL, errno.ENOSPC, "is full")],
)
def test_a_store_that_takes_nothing_says_why(s3: S3ForTests, fault: Fault, number: int, words: str) -> None:
    """What is there can be read, and what was to be written is not half there."""
    storage = store(lambda: True)
    storage.append("files/a", 0, b"one\n")
    s3.fail(fault, "PUT|POST", "")
    with pytest.raises(StorageError, match=words) as found:
        storage.append("files/a", 4, b"two\n")
    assert found.value.errno == number
    assert "secret" not in str(found.value)
    assert read(storage, "files/a") == b"one\n"
    s3.heal()
    assert storage.append("files/a", 4, b"two\n") == 8


def test_a_large_draft_is_sent_while_it_is_written(s3: S3ForTests) -> None:
    """It is there when it is kept; the upload of one that is not is aborted."""
    storage = store()
    data = os.urandom(1024) * (11 * 1024)
    draft = storage.draft("files/a")
    for at in range(0, len(data), 1024 * 1024):
        draft.write(data[at : at + 1024 * 1024])
    assert [method for method, path in s3.requests if "partNumber" in path]
    assert storage.size("files/a") is None
    assert storage.keep(draft, "files/a") == len(data)
    assert read(storage, "files/a") == data
    unwanted = storage.draft("files/b")
    unwanted.write(data)
    storage.discard(unwanted)
    assert storage.size("files/b") is None
    # A part may still have been on its way.
    assert "DELETE" in [method for method, path in s3.requests if "uploadId" in path]


def test_an_upload_that_is_broken_off_stops_no_other(s3: S3ForTests) -> None:
    """As an abort does with the parts that are on their way. It is of the store for tests: one that hung failed all tests after it."""
    with socket.create_connection(s3.address) as client:
        client.sendall(b"PUT /nightshift/of/tests/files/a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(10)
        assert client.recv(1) == b""
    assert (store().size("files/a"), s3.lock.locked()) == (None, False)


def test_what_was_altered_is_not_handed_out(s3: S3ForTests) -> None:
    """Nor is anything appended to it."""
    storage = store(lambda: True)
    storage.append("files/a", 0, b"one\n")
    s3.put("of/tests/files/a/00000000", b"ONE\n")
    with pytest.raises(FilesAltered, match="files/a/00000000 in s3://nightshift/of/tests was altered"):
        storage.open("files/a")
    with pytest.raises(FilesAltered):
        store(lambda: True).append("files/a", 4, b"two\n")
    storage.put("files/b", b"one" * 100_000)
    with storage.open("files/b") as file:
        file.read(3)
        s3.put("of/tests/files/b", b"two" * 100_000)
        with pytest.raises(FilesAltered, match="was replaced"):
            file.read()


@pytest.mark.usefixtures("s3")
def test_a_leader_that_slept_writes_nothing() -> None:
    """Its lease was held when it looked, and is another's when its write arrives."""
    looks = iter([True, True, False])
    sleeper = store(lambda: next(looks))
    sleeper.append("files/a", 0, b"one\n")
    leader = store(lambda: True)
    leader.append("files/a", 4, b"two\n")
    with pytest.raises(NotOurs, match="another process's by now"):
        sleeper.append("files/a", 4, b"late\n")
    assert read(leader, "files/a") == b"one\ntwo\n"
    looks = iter([True, True, False])
    leader.put("batch/lines", b"the leader's")
    with pytest.raises(NotOurs):
        sleeper.put("batch/lines", b"the sleeper's")
    assert read(leader, "batch/lines") == b"the leader's"


@pytest.mark.usefixtures("s3")
def test_what_a_dead_leader_has_left_is_overwritten() -> None:
    """Nobody has counted it, and it may be longer than what is written now."""
    dead = store(lambda: True)
    dead.append("files/a", 0, b"one\n")
    dead.append("files/a", 4, b"x" * 2 * BLOCK_BYTES)
    leader = store(lambda: True)
    assert leader.append("files/a", 4, b"two\n") == 8
    leader.cut("files/a", 8)
    assert (leader.size("files/a"), read(leader, "files/a")) == (8, b"one\ntwo\n")


def test_a_bucket_that_is_not_there(s3: S3ForTests) -> None:
    """Is no file that is not there: nothing is lost. And a store that can't be used says why at the start."""
    nowhere = ObjectStore("s3://nowhere/at/all")
    with pytest.raises(StorageError, match="there is no bucket for s3://nowhere/at/all"):
        nowhere.check()
    for ask in (nowhere.identity, lambda: nowhere.size("files/a"), lambda: nowhere.open("files/a")):
        with pytest.raises(StorageError, match="there is no bucket"):
            ask()
    store().check()
    assert not [one for one in store()._bucket.list("") if "check" in one.path]
    s3.fail(Fault.REFUSED, "PUT", "")
    with pytest.raises(StorageError, match="does not allow it"):
        store().check()
    s3.drops_conditions = True
    s3.heal()
    with pytest.raises(StorageError, match="ignores conditional writes"):
        store().check()


@pytest.mark.usefixtures("s3")
def test_a_store_of_before_a_fork_is_refused() -> None:
    """Obstore's calls would never come back."""
    storage = store()
    storage.put("files/a", b"x")
    storage._bucket._pid -= 1
    with pytest.raises(RuntimeError, match="after a fork it can't be used"):
        storage.size("files/a")


@pytest.mark.usefixtures("s3")
def test_files_that_are_gone_are_looked_for_in_the_same_store() -> None:
    """Who finds something missing asks the store for its name anew."""
    storage = store(lambda: True)
    before = storage.identity()
    storage.append("files/a", 0, b"one\n")
    storage.remove("files/a")
    storage._bucket.delete([".place"])
    with pytest.raises(FilesLost):
        storage.append("files/a", 4, b"x")
    assert storage.identity() != before


def test_one_that_is_not_there_keeps_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only S3 takes such a name for deleted. Others refuse it, as this store does, and stop there."""
    monkeypatch.setattr("obstore.store.from_url", lambda *_, **__: LocalStore(tmp_path))
    bucket = Bucket("gs://nightshift")
    paths = [f"files/a/{number:08d}" for number in range(12)]
    for path in paths:
        bucket.put(path, b"an answer")
    bucket.delete(["files/a-", *paths[:6], "files/b", *paths[6:]])
    assert [*bucket.list("files")] == []
