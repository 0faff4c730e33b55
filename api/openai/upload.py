"""`multipart/form-data` with one file, streamed to the storage while it comes: its size is nowhere in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from api import params
from app import errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from app.batches.storage import Storage

#: of the form beside the file
_MAX_FIELDS = 20
_MAX_FIELD_BYTES = 1024 * 1024
_ENVELOPE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """The form. `draft` is written, and whoever has it keeps it or discards it."""

    fields: MultiDict[str, str]
    filename: str
    draft: IO[bytes]


def receive(storage: Storage, max_bytes: int) -> Upload:
    """Read the request's form, with a file named `file`. Raises `ErrorReply`: 400, 413, 415."""
    if request.mimetype != "multipart/form-data":
        raise ErrorReply(
            415,
            "Send the file as multipart/form-data with the fields 'purpose' and 'file'.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        )
    params.refuse_encoding()
    request.max_content_length = max_bytes + _ENVELOPE_BYTES
    drafts: list[IO[bytes]] = []

    def new_part(
        total_content_length: int | None = None,  # noqa: ARG001 - Werkzeug's signature
        content_type: str | None = None,  # noqa: ARG001
        filename: str | None = None,  # noqa: ARG001
        content_length: int | None = None,  # noqa: ARG001
    ) -> IO[bytes]:
        if drafts:
            raise errors.invalid_request(
                "Send one file, in the field 'file'.", param="file", code=ErrorCode.INVALID_VALUE
            )
        drafts.append(storage.draft())
        return drafts[0]

    try:
        return _parsed(
            FormDataParser(new_part, _MAX_FIELD_BYTES, max_form_parts=_MAX_FIELDS, silent=False), drafts, max_bytes
        )
    except BaseException as error:
        for draft in drafts:
            storage.discard(draft)
        if isinstance(error, RequestEntityTooLarge):
            raise _too_large(max_bytes) from error
        if isinstance(error, ValueError):
            raise errors.invalid_request(
                f"The form is not valid: {error}.", code=ErrorCode.INVALID_MULTIPART
            ) from error
        raise


def _parsed(parser: FormDataParser, drafts: list[IO[bytes]], max_bytes: int) -> Upload:
    _, fields, found = parser.parse(request.stream, request.mimetype, request.content_length, request.mimetype_params)
    sent = found.get("file")
    if sent is None:
        raise errors.invalid_request(
            "Missing required parameter: 'file'.", param="file", code=ErrorCode.MISSING_REQUIRED_PARAMETER
        )
    if drafts[0].seek(0, 2) > max_bytes:
        raise _too_large(max_bytes)
    return Upload(fields, sent.filename or "upload", drafts[0])


def _too_large(max_bytes: int) -> ErrorReply:
    return ErrorReply(
        413, f"The file is larger than {max_bytes} bytes (NIGHTSHIFT_MAX_FILE_BYTES).", code=ErrorCode.FILE_TOO_LARGE
    )
