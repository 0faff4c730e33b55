"""A new batch of what failed in an old one, or was not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app import errors
from app.batches.file_record import Purpose
from app.batches.formats.answers import TABLE_FILE
from app.batches.formats.line import parsed
from app.batches.lines import split
from app.batches.metadata import TRY
from app.batches.record import BatchRecord, BatchStatus
from app.batches.since import SINCE
from app.batches.storage import names
from app.batches.store import NewBatch
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.batches.file_record import FileRecord
    from app.batches.store import Batches
    from app.idempotency import Fence
    from app.settings import Settings

#: in the new batch's metadata, where there is room: the old one's id
RETRY_OF = "retry_of"
_MAX_METADATA = 16


def retry_failed(
    batches: Batches, settings: Settings, batch_id: str, *, owner: str | None = None, fence: Fence | None = None
) -> BatchRecord:
    """The new batch, or the one that an earlier try of the request made.

    409 when nothing failed, the old one has not ended, or the key was used for another request.
    """
    record = batches.require(batch_id, owner)
    if (earlier := batches.made_by(fence)) is not None:
        return earlier
    if not record.status.is_final or record.status is BatchStatus.FAILED:
        raise errors.conflict(
            f"A batch with status '{record.status}' has no failed requests to run again.", ErrorCode.BATCH_NOT_RETRYABLE
        )
    error_file = batches.files.get(record.error_file)
    if error_file is None:
        raise errors.conflict("The batch has no error file (any more): nothing to run again.", ErrorCode.NOTHING_FAILED)
    kept = _failed_lines(batches, settings, record, error_file)
    # What failed was tried, and nobody had answered it.
    metadata = {name: value for name, value in record.metadata.items() if name not in (TRY, SINCE)}
    if len(metadata) < _MAX_METADATA or RETRY_OF in metadata:
        metadata[RETRY_OF] = batch_id
    return batches.create(
        NewBatch(
            input_file_id=kept.id,
            endpoint=record.endpoint,
            completion_window=record.completion_window,
            metadata=metadata,
            output_keep_seconds=record.output_keep_seconds,
        ),
        fence=fence,
    )


def retried(batches: Batches, record: BatchRecord) -> list[BatchRecord]:
    """The batches that this one is a retry of, newest first, as far as they are kept: of the same owner, and of the same table."""
    found = [record]
    # Metadata is the client's: it may name any batch, and itself.
    while (earlier := batches.get(found[-1].metadata.get(RETRY_OF, ""))) is not None:
        is_of_its_table = earlier.metadata.get(TABLE_FILE) == record.metadata.get(TABLE_FILE)
        if earlier.owner != record.owner or not is_of_its_table or earlier.id in (one.id for one in found):
            break
        found.append(earlier)
    return found[1:]


def _failed_lines(batches: Batches, settings: Settings, record: BatchRecord, error_file: FileRecord) -> FileRecord:
    """The lines of the input whose ids are in the error file, as a file of their own."""
    with batches.files.open(error_file) as file:
        wanted = {json.loads(line)["custom_id"] for line in file}
    draft = batches.files.draft()
    try:
        with batches.storage.open(names.batch_input(record.id)) as file:
            for _, raw in split(file, settings.max_body_bytes):
                if parsed(raw).custom_id in wanted:
                    draft.write(raw if raw.endswith(b"\n") else raw + b"\n")
        return batches.files.keep(draft, filename=f"{record.id}_retry.jsonl", purpose=Purpose.BATCH, owner=record.owner)
    except BaseException:
        batches.files.discard(draft)
        raise
