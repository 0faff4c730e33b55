"""What every storage of batches' bytes does, whether it can append or not."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

import pytest

from app.batches.storage import FilesLost, Storage, counted_lines, pieces
from app.batches.storage.local_disk import LocalDisk
from app.batches.storage.object_store import ObjectStore
from tests.segments import Segments

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["disk", "segments", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        request.getfixturevalue("s3")
        return ObjectStore("s3://nightshift/of/tests")
    return LocalDisk(tmp_path / "batches") if request.param == "disk" else Segments()


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return file.read()


def test_a_draft_is_nowhere_until_it_is_kept(storage: Storage) -> None:
    """Then all of it is there, in the place of what was; one that is discarded leaves nothing."""
    storage.put("files/a", b"old")
    draft = storage.draft("files/a")
    draft.write(b"new bytes")
    assert read(storage, "files/a") == b"old"
    assert storage.keep(draft, "files/a") == 9
    assert (read(storage, "files/a"), storage.size("files/a")) == (b"new bytes", 9)
    storage.discard(draft)
    unwanted = storage.draft("files/b")
    unwanted.write(b"x")
    storage.discard(unwanted)
    assert [name for name, _ in storage.find("files/")] == ["files/a"]


def test_what_was_not_counted_is_cut_off(storage: Storage) -> None:
    """An append begins where the counted bytes end, so that doing it again changes nothing."""
    length = storage.append("files/a", 0, b"one\n")
    assert storage.append("files/a", length, b"two\n") == 8
    assert storage.append("files/a", length, b"three\n") == 10
    assert storage.append("files/a", length, b"three\n") == 10
    assert read(storage, "files/a") == b"one\nthree\n"
    storage.cut("files/a", 4)
    assert read(storage, "files/a") == b"one\n"
    storage.cut("files/none", 0)


def test_counted_bytes_that_are_gone_are_lost(storage: Storage) -> None:
    """Nothing is appended to, or made of, a file that has less than what was counted."""
    storage.append("files/a", 0, b"one\n")
    for name in ("files/a", "files/none"):
        with pytest.raises(FilesLost):
            storage.append(name, 9, b"x")
        with pytest.raises(FilesLost):
            storage.cut(name, 9)
    assert storage.size("files/none") is None
    with pytest.raises(FileNotFoundError):
        storage.open("files/none")


def test_a_link_outlives_what_it_was_made_of(storage: Storage) -> None:
    """Each name is removed by itself, and a folder with all that is in it."""
    storage.put("files/a", b"bytes")
    storage.link("files/a", "batch/input")
    storage.remove("files/a")
    storage.remove("files/a")
    assert read(storage, "batch/input") == b"bytes"
    storage.remove_folder("batch")
    assert storage.size("batch/input") is None


def test_names_are_found_by_their_beginning(storage: Storage) -> None:
    """With how long ago each was written."""
    for name in ("files/.doubt-1", "files/.doubt-2", "files/1"):
        storage.put(name, b"")
    found = dict(storage.find("files/.doubt-"))
    assert sorted(found) == ["files/.doubt-1", "files/.doubt-2"]
    assert all(-1 < age < 60 for age in found.values())


def test_what_is_removed_during_a_search_does_not_end_it(storage: Storage) -> None:
    """Other processes keep and discard their drafts while one looks for those that were left."""
    for name in ("files/a", "files/b", "files/c"):
        storage.put(name, b"")
    found = storage.find("files/")
    first, _ = next(found)
    storage.remove("files/a" if first != "files/a" else "files/b")
    assert "files/c" in {first, *(name for name, _ in found)}


def test_any_part_is_read_without_the_rest(storage: Storage) -> None:
    """A file can be read from any offset, in pieces up to what counts, and by its whole lines."""
    storage.append("files/a", 0, b"one\ntwo\nhal")
    with storage.open("files/a") as file:
        file.seek(4)
        assert file.read(3) == b"two"
    assert b"".join(pieces(storage.open("files/a"), 5)) == b"one\nt"
    assert list(counted_lines(storage, "files/a", 11)) == [b"one\n", b"two\n"]
    assert list(counted_lines(storage, "files/a", 6)) == [b"one\n"]
    assert list(counted_lines(storage, "files/none", 6)) == []


def test_each_has_a_name_of_its_own(storage: Storage, tmp_path: Path) -> None:
    """By which it is known, and told from others."""
    assert storage.identity() == storage.identity() != LocalDisk(tmp_path / "other").identity()
    assert storage.location() == storage.location() != LocalDisk(tmp_path / "other").location()


def test_a_disk_is_locked_by_one(tmp_path: Path) -> None:
    """Another gets the lock once the first has let go of it."""
    first, second = LocalDisk(tmp_path), LocalDisk(tmp_path)
    held = first.lock("feeder")
    assert held is not None
    assert second.lock("feeder") is None
    held.close()
    again = second.lock("feeder")
    assert again is not None
    again.close()


@pytest.mark.parametrize(
    "name", ["", "files", "files/", "../a", "files/..", "files/../a", "/etc/passwd", "a/b/c", "files/a\n"]
)
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    """What is no folder and a name in it is refused."""
    with pytest.raises(ValueError, match="no name"):
        LocalDisk(tmp_path).open(name)


def test_what_is_written_is_private(tmp_path: Path) -> None:
    """Nobody else reads a client's prompts, whatever the umask is."""
    before = os.umask(0)
    try:
        storage = LocalDisk(tmp_path / "batches")
        storage.put("files/a", b"x")
        storage.append("files/b", 0, b"x")
        storage.link("files/a", "batch/input")
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "batches").rglob("*")}
    assert found == {"files": 0o700, "batch": 0o700, "a": 0o600, "b": 0o600, "input": 0o600}


def test_no_path_leaves_the_storage() -> None:
    """Its protocol names none, so that it need not be a disk."""
    for _, method in inspect.getmembers(Storage, inspect.isfunction):
        assert "Path" not in str(inspect.signature(method))
