"""What `NIGHTSHIFT_STORAGE` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.batches.storage import open_storage
from app.batches.storage.local_disk import LocalDisk
from app.batches.storage.object_store import ObjectStore
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def settings(url: str) -> Settings:
    return Settings.from_environment({"NIGHTSHIFT_STORAGE": url, "NIGHTSHIFT_DATA_DIR": "/data"})


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("", "/data/batches/files"),
        ("file:///srv/my%20night", "/srv/my night/files"),
        ("s3://bucket/a/prefix/", "s3://bucket/a/prefix"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/prefix", "az://container/prefix"),
    ],
)
def test_where_the_bytes_are(url: str, where: str) -> None:
    """Nothing is asked before the first request; children read the same."""
    found = settings(url)
    storage = open_storage(found)
    assert storage.where == where
    assert isinstance(storage, ObjectStore if "://" in where else LocalDisk)
    assert settings(found.to_environment()["NIGHTSHIFT_STORAGE"]) == found


@pytest.mark.parametrize(
    "url",
    [
        "files",
        "/srv/night",
        "file://srv/night",
        "file:///",
        "s3:bucket",
        "s3://",
        "http://x/y",
        "s3://a:hunter2@b",
        "s3://b?key=hunter2",
    ],
)
def test_what_is_none_is_refused(url: str) -> None:
    """By what is taken, and without what was given: it may have a secret in it."""
    with pytest.raises(SettingsError, match=r"^NIGHTSHIFT_STORAGE takes ") as found:
        settings(url)
    assert "hunter2" not in str(found.value)


def test_a_directory_of_the_disk_is_tried(tmp_path: Path) -> None:
    """One that can't be made says why."""
    open_storage(settings(f"file://{tmp_path}/night")).check()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="directory"):
        open_storage(settings(f"file://{tmp_path}/file/night")).check()
