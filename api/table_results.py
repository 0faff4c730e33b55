"""`/batches/{id}/table`: the table that a batch was made from, with the answers beside the rows, in the format that it came in or another."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pydantic_core
from flask import Blueprint, Response

from api import auth, params
from api.new_batch.table import Busy, on_disk
from api.openapi_meta import described
from api.services import current_services
from app import errors
from app.batches.formats import answers, selection, tables
from app.batches.formats.answers import TABLE_FILE, TABLE_FORMAT, TABLE_ID, TABLE_SELECTION
from app.batches.formats.json_file import FormatError
from app.batches.retry import retried
from app.batches.storage import counted_lines, pieces
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from types import TracebackType

    from app.batches.file_record import FileRecord
    from app.batches.formats.selection import Selection
    from app.batches.record import BatchRecord
    from app.batches.storage import Readable

blueprint = Blueprint("table_results", __name__)

_GONE = "There is no table of this batch, or it was deleted."
_RETRY_SECONDS = 60.0


@blueprint.get("/batches/<batch_id>/table")
@described(
    query={"format": {"enum": list(tables.FORMATS)}},
    answers={200: ("application/octet-stream",)},
    errors=(400, 404, 429),
)
def download(batch_id: str) -> Response:
    """The table with the columns `answer` and `error`, as far as the batch is; 404 for a batch that was made of no table.

    `?format=jsonl` and its like: in that format.
    """
    wanted = params.choice("format", tuple(tables.FORMATS))
    services = current_services()
    batch = services.batches.require(batch_id, auth.seen_owner())
    source = source_of(batch)
    if source is None:
        raise errors.not_found(_GONE, code=ErrorCode.FILE_NOT_FOUND)
    kind = batch.metadata[TABLE_FORMAT]
    target = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - the response closes it
    try:
        with (
            on_disk(services.batches.files.open(source), source.filename, kind) as found,
            found.named(),
            Ended(services.batches.storage, batch) as ended,
        ):
            answers.write(
                target,
                wanted or kind,
                ended.find,
                source=found.path,
                source_kind=kind,
                id_column=batch.metadata.get(TABLE_ID),
                selection=_selection(batch),
            )
    except BaseException as error:
        target.close()
        if isinstance(error, FormatError):
            raise errors.not_found(f"The table can't be read any more: {error}", ErrorCode.FILE_NOT_FOUND) from error
        if isinstance(error, Busy):
            raise errors.rate_limited(str(error), ErrorCode.TOO_MANY_WAITING, _RETRY_SECONDS) from error
        raise
    size = target.seek(0, 2)
    target.seek(0)
    response = Response(pieces(target, size), mimetype="application/octet-stream")
    response.headers["Content-Length"] = str(size)
    response.headers.set("Content-Disposition", "attachment", filename=name_of(source, wanted or kind))
    return response


def source_of(batch: BatchRecord) -> FileRecord | None:
    """The file of the table that the batch was made of; None: it was made of none, or the file was deleted."""
    files = current_services().batches.files
    found = files.get(batch.metadata.get(TABLE_FILE, ""))
    # Metadata is the client's: it may name a file that is another's.
    is_its_own = found is not None and found.owner == batch.owner
    return found if is_its_own and batch.metadata.get(TABLE_FORMAT) in tables.FORMATS else None


def name_of(source: FileRecord, kind: str) -> str:
    """Of the download: `reviews.answers.csv`. Lines of text come back as CSV."""
    path = Path(source.filename)
    suffixes = tables.FORMATS[kind].suffixes
    suffix = path.suffix if path.suffix.lower() in suffixes else suffixes[0] if suffixes else ".csv"
    return f"{path.stem or 'table'}.answers{suffix}"


def _selection(batch: BatchRecord) -> Selection:
    """Which part of the table was meant. Metadata is the client's. Raises `FormatError`."""
    try:
        return selection.loaded(batch.metadata.get(TABLE_SELECTION, ""))
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"'{TABLE_SELECTION}' in the batch's metadata is not what it was.") from error


class Ended:
    """What the lines of a batch, and of those that it is a retry of, ended with, by `custom_id`. Of each only its place is in memory. Use with `with`."""

    def __init__(self, storage: Readable, batch: BatchRecord) -> None:
        self._storage = storage
        self._batch = batch
        self._files: list[IO[bytes]] = []
        self._places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Ended:
        batches = current_services().batches
        # All that has no answer in a batch that was retried is in the retry.
        wanted = [(one, "output") for one in reversed(retried(batches, self._batch))]
        for batch, what in (*wanted, (self._batch, "output"), (self._batch, "errors")):
            name, size = batches.stored(batch, what)
            if size and self._storage.size(name) is not None:
                offset = 0
                for line in counted_lines(self._storage, name, size):
                    found: dict[str, Any] = pydantic_core.from_json(line)
                    self._places[found["custom_id"]] = (len(self._files), offset)
                    offset += len(line)
                self._files.append(self._storage.open(name))
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for file in self._files:
            file.close()

    def find(self, custom_id: str) -> tuple[str, str] | None:
        """Answer and error, one of which is empty; None: it has neither (yet)."""
        place = self._places.get(custom_id)
        if place is None:
            return None
        number, offset = place
        self._files[number].seek(offset)
        return answers.of(self._files[number].readline())[1]
