"""A line of a batch's input, as OpenAI has it: `{"custom_id", "method", "url", "body"}`. Nobody else knows its fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from app.error_codes import Code
    from app.errors import ErrorReply

MAX_CUSTOM_ID = 512
_METHOD = "POST"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line. `line` counts from 1; None: it is about the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class LineError(ValueError):
    """The line is no request."""

    def __init__(self, code: Code, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def at(self, line: int | None) -> Fault:
        """The fault, with its place."""
        return Fault(self.code, str(self), self.param, line)


class BodyError(LineError):
    """The line's envelope is right, and its body is refused with `reply`, as the same request by itself would be."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.cause, reply.message, "body" if reply.param is None else f"body.{reply.param}")
        self.reply = reply


@dataclass(frozen=True)
class Line:
    """A request of a batch. `body` is not checked."""

    custom_id: str
    body: dict[str, Any]


def parse(raw: bytes, endpoint: str) -> Line:
    """The line's request. Raises `LineError` for the first thing that is wrong with it."""
    from app import json_text  # noqa: PLC0415 - pydantic's core is slow to import, and the command line needs none

    try:
        sent = json_text.parse(raw)
    except json_text.JsonError as error:
        comma = " Lines of JSONL end without a comma." if raw.rstrip().endswith(b",") else ""
        raise LineError(
            ErrorCode.INVALID_JSON_LINE, f"This line is not parseable as valid JSON: {error}.{comma}", error.param
        ) from error
    if not isinstance(sent, dict):
        raise LineError(ErrorCode.INVALID_JSON_LINE, "This line is not a JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if sent.get(name) is None:
            raise LineError(ErrorCode.MISSING_REQUIRED_PARAMETER, f"Missing required parameter: '{name}'.", name)
    custom_id, method, url, body = (sent[name] for name in ("custom_id", "method", "url", "body"))
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID:
        raise LineError(
            ErrorCode.INVALID_CUSTOM_ID, f"'custom_id' takes a string of 1 to {MAX_CUSTOM_ID} characters.", "custom_id"
        )
    if method != _METHOD:
        raise LineError(ErrorCode.INVALID_METHOD, f"'method' must be {_METHOD}.", "method")
    if url != endpoint:
        raise LineError(ErrorCode.URL_MISMATCH, f"'url' must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise LineError(ErrorCode.INVALID_TYPE, "'body' must be an object.", "body")
    return Line(custom_id, body)


def parsed(raw: bytes) -> Line:
    """The request of a line that has passed `parse`, four times as fast."""
    import pydantic_core  # noqa: PLC0415 - as above

    sent: dict[str, Any] = pydantic_core.from_json(raw, cache_strings="keys")
    return Line(sent["custom_id"], sent["body"])


def request(line: Line, endpoint: str) -> dict[str, Any]:
    """The inverse of `parse`, before it is written as JSON."""
    return {"custom_id": line.custom_id, "method": _METHOD, "url": endpoint, "body": line.body}


def is_meant(value: Any) -> bool:
    """Whether a JSON value is meant as a line, though it may be a wrong one. Of bytes that are no JSON: judging by names in them."""
    if isinstance(value, bytes):
        return all(json.dumps(name).encode() in value for name in ("custom_id", "body"))
    return isinstance(value, dict) and "custom_id" in value and "body" in value


def with_model(value: Any, model: str) -> Any:
    """The JSON value of a line, asking for another model, if it is one."""
    if isinstance(value, dict) and isinstance(value.get("body"), dict):
        value["body"]["model"] = model
    return value
