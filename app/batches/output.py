"""What becomes of a line: its place in the output file or in the error file, and that read again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app import errors, json_text
from app.error_codes import ErrorCode
from app.outcome import CACHE, CACHE_HIT

if TYPE_CHECKING:
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


class LineEnd(StrEnum):
    """How a line has ended: in the output file, in the error file, or there without having run."""

    COMPLETED = "completed"
    FAILED = "failed"
    UNRUN = "unrun"


@dataclass(frozen=True)
class Ended:
    """A line that has ended."""

    kind: LineEnd
    text: bytes
    usage: dict[str, Any]
    #: of a failure, what was paid for it; None: nobody knows it
    cost_usd: float | None = None
    #: of what did not complete, the error's code (or type)
    cause: str = ""
    #: which way to Claude it came, or `cache`; empty: nobody was asked
    way: str = ""
    #: what the prompt cache is known to have saved of its cost, US dollars
    cache_saved_usd: float = 0.0


def ended(line_id: str, custom_id: str, request_id: str, outcome: Outcome) -> Ended:
    """The line of a job that has ended."""
    error = outcome.error
    if error is not None:
        if error.code is ErrorCode.DEADLINE_EXCEEDED:  # a line's deadline is the batch's
            return never_run(line_id, custom_id, BATCH_EXPIRED)
        if isinstance(error.code, ErrorCode) and error.code in _UNRUN:
            return never_run(line_id, custom_id, error.code)
        response = {"status_code": error.status, "request_id": request_id, "body": error.body()}
        text = _line(line_id, custom_id, response, None, ours=_ours(outcome))
        return Ended(LineEnd.FAILED, text, {}, outcome.cost_usd, cause=error.cause, way=outcome.way)
    body = dict(outcome.body or {})
    # The job's id names the line; in a body OpenAI's clients know the ids of what was asked for.
    body["id"] = _ID_PREFIXES.get(body.get("object", ""), "") + line_id.removeprefix("batch_req_")
    response = {"status_code": 200, "request_id": request_id, "body": body}
    text, usage = _line(line_id, custom_id, response, None, ours=_ours(outcome)), body.get("usage") or {}
    return Ended(
        LineEnd.COMPLETED, text, usage, outcome.cost_usd, way=outcome.source, cache_saved_usd=outcome.cache_saved_usd
    )


def never_run(line_id: str, custom_id: str, code: ErrorCode) -> Ended:
    """The line of a request that the batch's end overtook."""
    return Ended(
        LineEnd.UNRUN, _line(line_id, custom_id, None, {"code": code, "message": _UNRUN[code]}), {}, cause=code
    )


def copied(line: dict[str, Any], line_id: str, custom_id: str, since: str) -> tuple[bytes, float | None]:
    """The line of a request that an earlier batch's output has answered, and what that answer had cost; None: nobody knows it.

    The answer stays as it is. `since`: the earlier batch; it may have copied the answer itself.
    """
    before = line.get("nightshift") or {}
    cost_usd = before.get("saved_usd", before.get("cost_usd"))
    ours = {"copied_from": before.get("copied_from", since), "cost_usd": 0, "saved_usd": cost_usd}
    return _line(line_id, custom_id, line["response"], None, ours={"nightshift": ours}), cost_usd


def cause_and_message(line: dict[str, Any]) -> tuple[str, str] | None:
    """Of a line of either file: its error's code (or type) and message. None: it was answered."""
    response = line["response"]
    if response is not None and response["status_code"] == 200:
        return None
    error = line["error"] if response is None else response["body"]["error"]
    return error["code"] or error["type"], error["message"]


def _ours(outcome: Outcome) -> dict[str, Any]:
    """What OpenAI's line has no field for, under a name of our own; empty: nobody was asked."""
    if outcome.source == CACHE:
        return {"nightshift": {"cache": CACHE_HIT, "cost_usd": outcome.cost_usd}}
    return {"nightshift": {"way": outcome.way, "cost_usd": outcome.cost_usd}} if outcome.way else {}


def _line(
    line_id: str,
    custom_id: str,
    response: dict[str, Any] | None,
    error: dict[str, Any] | None,
    *,
    ours: dict[str, Any] | None = None,
) -> bytes:
    line = {"id": line_id, "custom_id": custom_id, "response": response, "error": error}
    return json_text.line(line | (ours or {}))
