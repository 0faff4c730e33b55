"""`/v1/files`: what batches read and write. An upload is streamed to the storage while it comes: its size is nowhere in memory."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from api import auth, headers, params
from api.openapi_meta import AFTER, described
from api.services import current_services
from app import errors
from app.batches.file_record import UPLOAD_KEEP_SECONDS, UPLOAD_PURPOSES, Purpose
from app.batches.storage import pieces
from app.error_codes import ErrorCode
from app.errors import ErrorReply

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from app.batches.file_record import FileRecord
    from app.batches.files import FileDraft, FileStore


blueprint = Blueprint("files", __name__)

#: what `expires_after[seconds]` takes
MIN_KEEP_SECONDS, MAX_KEEP_SECONDS = 3600, 30 * 24 * 3600
#: as OpenAI lists files
_LIST_LIMIT = 10_000
_FORM = {
    "type": "object",
    "properties": {
        "purpose": {"enum": list(UPLOAD_PURPOSES)},
        "file": {"type": "string", "format": "binary"},
        "expires_after[anchor]": {"enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": MIN_KEEP_SECONDS, "maximum": MAX_KEEP_SECONDS},
    },
    "required": ["purpose", "file"],
}


@blueprint.post("/v1/files")
@described(form=_FORM, headers=headers.IDEMPOTENCY, errors=(409,))
def upload_file() -> dict[str, Any]:
    """The file object. Files are kept for any purpose of OpenAI's, and used for `batch`. 413 beyond NIGHTSHIFT_MAX_FILE_BYTES."""
    services = current_services()
    store = services.batches.files
    sent = receive(store, services.settings.max_file_bytes)
    try:
        purpose = _purpose(sent.fields.get("purpose"))
        record = store.keep(
            sent.draft,
            filename=sent.filename,
            purpose=purpose,
            expires_after_seconds=_expires_after(sent.fields, purpose),
            owner=auth.owner(),
            fence=headers.fence_of(_fingerprint(sent)),
        )
    except BaseException:
        store.discard(sent.draft)
        raise
    return file_object(record)


@blueprint.get("/v1/files")
@described(
    query={
        "purpose": {"enum": list(Purpose)},
        "limit": {"type": "integer", "minimum": 1, "maximum": _LIST_LIMIT},
        "order": {"enum": ["asc", "desc"]},
        **AFTER,
    }
)
def list_files() -> dict[str, Any]:
    """OpenAI's list, newest first: `?purpose=&limit=&after=&order=`."""
    size = params.limit(_LIST_LIMIT, _LIST_LIMIT)
    found = current_services().batches.files.page(
        purpose=params.choice("purpose", tuple(Purpose)),
        limit=size + 1,
        after=request.args.get("after"),
        newest_first=params.choice("order", ("asc", "desc")) != "asc",
        owner=auth.seen_owner(),
    )
    return params.page([file_object(record) for record in found], size)


@blueprint.get("/v1/files/<file_id>")
def get_file(file_id: str) -> dict[str, Any]:
    """The file object; 404 `file_not_found`."""
    return file_object(current_services().batches.files.require(file_id, auth.seen_owner()))


@blueprint.get("/v1/files/<file_id>/content")
@described(answers={200: ("application/octet-stream",)})
def get_content(file_id: str) -> Response:
    """The file's bytes as they are; 404 `file_not_found`, 503 `files_elsewhere` where this machine does not have them."""
    store = current_services().batches.files
    record = store.require(file_id, auth.seen_owner())
    response = Response(pieces(store.open(record), record.bytes), mimetype="application/octet-stream")
    response.headers.set("Content-Disposition", "attachment", filename=record.id)
    response.content_length = record.bytes
    response.last_modified = datetime.fromtimestamp(record.created_at, UTC)
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.delete("/v1/files/<file_id>")
def delete_file(file_id: str) -> dict[str, Any]:
    """`{id, object, deleted}`; 404 `file_not_found`. A batch that was made of it continues."""
    store = current_services().batches.files
    record = store.require(file_id, auth.seen_owner())
    return {"id": record.id, "object": "file", "deleted": store.delete(record.id)}


def file_object(record: FileRecord) -> dict[str, Any]:
    """OpenAI's file object. Times are whole seconds since the epoch."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": int(record.created_at),
        "expires_at": None if record.expires_at is None else int(record.expires_at),
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
    }


def keep_seconds(anchor: Any, seconds: Any, name: str) -> int:
    """The seconds of an `expires_after`. Raises `ErrorReply` (400) naming the field."""
    if anchor != "created_at":
        raise errors.invalid_request(f"'{name}.anchor' takes created_at.", f"{name}.anchor", ErrorCode.INVALID_VALUE)
    if not isinstance(seconds, int) or not MIN_KEEP_SECONDS <= seconds <= MAX_KEEP_SECONDS:
        raise errors.invalid_request(
            f"'{name}.seconds' takes {MIN_KEEP_SECONDS} to {MAX_KEEP_SECONDS}.",
            f"{name}.seconds",
            ErrorCode.INVALID_VALUE,
        )
    return seconds


def _fingerprint(sent: Upload) -> str:
    """Of the form as it was meant: its boundary is another each time."""
    fields = [sent.filename, *sorted(f"{name}={value}" for name, value in sent.fields.items(multi=True))]
    return headers.fingerprint_of(sent.digest, *fields)


def _expires_after(fields: MultiDict[str, str], purpose: Purpose) -> int | None:
    """As OpenAI does where nobody says: files for batches are kept for 30 days, others until they are deleted."""
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return UPLOAD_KEEP_SECONDS if purpose is Purpose.BATCH else None
    is_number = seconds is not None and seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    return keep_seconds(anchor, int(seconds) if is_number and seconds else seconds, "expires_after")


def _purpose(purpose: str | None) -> Purpose:
    if purpose is None:
        raise errors.invalid_request(
            "Missing required parameter: 'purpose'.", param="purpose", code=ErrorCode.MISSING_REQUIRED_PARAMETER
        )
    if purpose not in UPLOAD_PURPOSES:
        raise errors.invalid_request(
            f"'purpose' takes one of: {', '.join(UPLOAD_PURPOSES)}.", param="purpose", code=ErrorCode.INVALID_VALUE
        )
    return Purpose(purpose)


#: of the form beside the file
_MAX_FIELDS = 20
_MAX_FIELD_BYTES = 1024 * 1024
_ENVELOPE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """The form. `draft` is written, and whoever has it keeps it or discards it. `digest`: of its bytes, SHA-256."""

    fields: MultiDict[str, str]
    filename: str
    draft: FileDraft
    digest: str


class _Part(io.RawIOBase):
    """Where Werkzeug writes the file: it is digested on its way into the storage, from which it can't be read yet."""

    def __init__(self, draft: FileDraft) -> None:
        super().__init__()
        self.draft = draft
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        self.draft.write(data)
        self.digest.update(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.draft.file.seek(offset, whence)


def receive(store: FileStore, max_bytes: int) -> Upload:
    """Read the request's form, with a file named `file`. Raises `ErrorReply`: 400, 413, 415."""
    if request.mimetype != "multipart/form-data":
        raise ErrorReply(
            415,
            "Send the file as multipart/form-data with the fields 'purpose' and 'file'.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        )
    params.refuse_encoding()
    request.max_content_length = max_bytes + _ENVELOPE_BYTES
    parts: list[_Part] = []

    def new_part(
        total_content_length: int | None = None,  # noqa: ARG001 - Werkzeug's signature
        content_type: str | None = None,  # noqa: ARG001
        filename: str | None = None,  # noqa: ARG001
        content_length: int | None = None,  # noqa: ARG001
    ) -> IO[bytes]:
        if parts:
            raise errors.invalid_request(
                "Send one file, in the field 'file'.", param="file", code=ErrorCode.INVALID_VALUE
            )
        parts.append(_Part(store.draft()))
        return cast("IO[bytes]", parts[0])

    try:
        return _parsed(
            FormDataParser(new_part, _MAX_FIELD_BYTES, max_form_parts=_MAX_FIELDS, silent=False), parts, max_bytes
        )
    except BaseException as error:
        for part in parts:
            store.discard(part.draft)
        if isinstance(error, RequestEntityTooLarge):
            raise _too_large(max_bytes) from error
        if isinstance(error, ValueError):
            raise errors.invalid_request(
                f"The form is not valid: {error}.", code=ErrorCode.INVALID_MULTIPART
            ) from error
        raise


def _parsed(parser: FormDataParser, parts: list[_Part], max_bytes: int) -> Upload:
    _, fields, found = parser.parse(request.stream, request.mimetype, request.content_length, request.mimetype_params)
    sent = found.get("file")
    if sent is None:
        raise errors.invalid_request(
            "Missing required parameter: 'file'.", param="file", code=ErrorCode.MISSING_REQUIRED_PARAMETER
        )
    if parts[0].seek(0, 2) > max_bytes:
        raise _too_large(max_bytes)
    return Upload(fields, sent.filename or "upload", parts[0].draft, parts[0].digest.hexdigest())


def _too_large(max_bytes: int) -> ErrorReply:
    return ErrorReply(
        413, f"The file is larger than {max_bytes} bytes (NIGHTSHIFT_MAX_FILE_BYTES).", code=ErrorCode.FILE_TOO_LARGE
    )
