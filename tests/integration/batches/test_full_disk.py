"""The disk under the batches is full: they wait, say so, and go on where they were."""

from __future__ import annotations

import json
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.record import BatchStatus
from app.batches.storage import names
from app.batches.store import NewBatch
from tests.integration.batches.conftest import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.integration.batches.conftest import Night


@contextmanager
def no_file_grows(beyond: int = 0) -> Iterator[None]:
    """No file that this process writes may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    """A batch whose files can't be written waits in validation and in collection; each line is in the output once."""
    ids = ["a", "b", "c"]
    uploaded = night.upload(b"".join(json.dumps(line(one)).encode() + b"\n" for one in ids))
    batch = night.batches.create(NewBatch(input_file_id=uploaded, endpoint=CHAT_COMPLETIONS))
    with no_file_grows():
        assert night.look(batch).status is BatchStatus.VALIDATING
    assert "File too large" in caplog.text
    assert night.look(batch).status is BatchStatus.IN_PROGRESS
    for _ in ids:
        night.answer()
    # Room for half a line: what was written of it must not stay.
    with no_file_grows(beyond=50):
        batch = night.look(batch)
    assert (batch.status, batch.completed) == (BatchStatus.IN_PROGRESS, 0)
    assert night.path(names.stored_file(batch.output_file)).stat().st_size == 50
    batch = night.look(batch)
    assert (batch.status, batch.completed) == (BatchStatus.COMPLETED, 3)
    assert [one["custom_id"] for one in night.output(batch)] == ids


def test_an_upload_without_room_leaves_nothing(night: Night) -> None:
    """The draft of an upload that the disk had no room for is gone once it is discarded."""
    draft = night.batches.files.draft()
    draft.write(b"x" * 100)
    with no_file_grows():
        night.batches.files.discard(draft)
    assert not list(night.batches.storage.find("files/"))
