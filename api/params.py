"""Bodies of requests: read whole, JSON in."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app import errors, json_text
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.json_text import JsonError
from app.openai.faults import from_validation

_B = TypeVar("_B", bound=BaseModel)


def read_body() -> bytes:
    """The whole body. Raises `RequestEntityTooLarge`, and `ErrorReply` (415) for one that is compressed."""
    refuse_encoding()
    body = request.get_data(cache=False)
    limit = request.max_content_length
    if limit is not None and request.content_length is None and len(body) >= limit:
        # Of a body in chunks Werkzeug reads up to the limit, and says nothing of the rest.
        raise RequestEntityTooLarge
    return body


def refuse_encoding() -> None:
    """Raises `ErrorReply` (415): what is compressed could be of any size, and is taken for what it is not."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise ErrorReply(
            415,
            "Send the body as it is, without Content-Encoding: compressed bodies are not read here.",
            param="Content-Encoding",
            code=ErrorCode.UNSUPPORTED_CONTENT_ENCODING,
        )


def json_object(body: bytes) -> dict[str, Any]:
    """The request's body as an object. Raises `ErrorReply`: 415 for another content type, 400 naming the position."""
    if not request.is_json:
        # Also what keeps other sites' scripts out: a browser sends this type across sites only after asking us.
        raise ErrorReply(
            415,
            "Send the body as JSON, with the header 'Content-Type: application/json'.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        )
    try:
        value = json_text.parse(body)
    except JsonError as error:
        raise errors.invalid_request(
            f"The body is not valid JSON: {error}.", param=error.param, code=ErrorCode.INVALID_JSON
        ) from error
    if not isinstance(value, dict):
        raise errors.invalid_request("The body must be a JSON object.", code=ErrorCode.INVALID_JSON)
    return value


def checked(kind: type[_B], body: bytes) -> _B:
    """The request's body as that model. Raises `ErrorReply` as `json_object` does, and 400 naming the field."""
    sent = json_object(body)
    try:
        return kind.model_validate(sent)
    except ValidationError as error:
        raise from_validation(error, sent) from error
