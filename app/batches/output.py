"""What becomes of a line: its place in the output file or in the error file. And the appending, which can be repeated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app import errors, json_lines
from app.batches.lines import FilesLost
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.outcome import Outcome

_ID_PREFIXES = {"chat.completion": "chatcmpl-", "response": "resp_", "text_completion": "cmpl-"}
#: why a line was never run, for its place in the error file
BATCH_EXPIRED = ErrorCode.BATCH_EXPIRED
BATCH_CANCELLED = ErrorCode.BATCH_CANCELLED
_UNRUN = {
    BATCH_EXPIRED: "This request could not be executed before the completion window expired.",
    BATCH_CANCELLED: "This request was not executed, since the batch was cancelled.",
}


def unrun_error(code: ErrorCode) -> errors.ErrorReply:
    """The outcome of a line's job that is ended for the batch's sake."""
    return errors.ErrorReply(409, _UNRUN[code], code=code)


@dataclass(frozen=True)
class Ended:
    """A line that has ended. `kind`: `completed` (it is in the output file), `failed` or `unrun` (in the error file)."""

    kind: str
    text: bytes
    usage: dict[str, Any]
    #: of what completed; None: nobody knows it
    cost_usd: float | None = None
    #: of what did not complete, the error's code (or type)
    cause: str = ""
    #: which way to Claude it came; empty: nobody was asked
    way: str = ""


def ended(line_id: str, custom_id: str, request_id: str, outcome: Outcome) -> Ended:
    """The line of a job that has ended."""
    error = outcome.error
    if error is not None:
        if error.code is ErrorCode.DEADLINE_EXCEEDED:  # a line's deadline is the batch's
            return never_run(line_id, custom_id, BATCH_EXPIRED)
        if isinstance(error.code, ErrorCode) and error.code in _UNRUN:
            return never_run(line_id, custom_id, error.code)
        response = {"status_code": error.status, "request_id": request_id, "body": error.body()}
        return Ended("failed", _line(line_id, custom_id, response, None), {}, cause=error.cause, way=outcome.way)
    body = dict(outcome.body or {})
    # The job's id names the line; in a body OpenAI's clients know the ids of what was asked for.
    body["id"] = _ID_PREFIXES.get(body.get("object", ""), "") + line_id.removeprefix("batch_req_")
    response = {"status_code": 200, "request_id": request_id, "body": body}
    text, usage = _line(line_id, custom_id, response, None), body.get("usage") or {}
    return Ended("completed", text, usage, outcome.cost_usd, way=outcome.way)


def never_run(line_id: str, custom_id: str, code: ErrorCode) -> Ended:
    """The line of a request that the batch's end overtook."""
    return Ended("unrun", _line(line_id, custom_id, None, {"code": code, "message": _UNRUN[code]}), {}, cause=code)


def append(path: Path, length: int, added: list[bytes]) -> int:
    """Make the file what counts of it (`length` bytes) and what is added, on the disk for good. Its new length.

    What was written beyond `length` was never counted, since its writer died: it is cut off, and so nothing is twice.
    """
    if not added:
        return length
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < length:
            raise FilesLost(f"{path} is shorter than the {length} bytes that were written to it")
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, length, os.SEEK_SET)
        data = memoryview(b"".join(added))
        length += len(data)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return length


def lines(path: Path, length: int) -> Iterator[bytes]:
    """The whole lines of what counts of a file, with their line feeds. None when it is gone, fewer when it is shorter."""
    if not length or not path.exists():
        return
    with path.open("rb") as file:
        left = min(length, os.fstat(file.fileno()).st_size)
        while left > 0:
            raw = file.readline(left)
            left -= len(raw)
            if raw.endswith(b"\n"):
                yield raw


def cut(path: Path, length: int) -> None:
    """Take away what does not count. Raises `FilesLost` when less than that is there."""
    if length and not path.exists():
        raise FilesLost(f"{path} is gone")
    if path.exists():
        descriptor = os.open(path, os.O_RDWR)
        try:
            if os.fstat(descriptor).st_size < length:
                raise FilesLost(f"{path} is shorter than the {length} bytes that were written to it")
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _line(line_id: str, custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    return json_lines.line({"id": line_id, "custom_id": custom_id, "response": response, "error": error})
