"""Bodies and their faults: JSON in, and for what is wrong with it the `param` in OpenAI's spelling (`messages[0].content`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app import errors
from app.errors import ErrorReply

if TYPE_CHECKING:
    from pydantic import ValidationError

_MESSAGE_CHARACTERS = 500


def read_body() -> bytes:
    """The whole body. Raises `RequestEntityTooLarge`."""
    body = request.get_data(cache=False)
    limit = request.max_content_length
    if limit is not None and request.content_length is None and len(body) >= limit:
        # Of a body in chunks Werkzeug reads up to the limit, and says nothing of the rest.
        raise RequestEntityTooLarge
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """The request's body as an object. Raises `ErrorReply`: 415 for another content type, 400 naming the position."""
    if not request.is_json:
        # Also what keeps other sites' scripts out: a browser sends this type across sites only after asking us.
        raise ErrorReply(
            415,
            "Send the body as JSON, with the header 'Content-Type: application/json'.",
            code="unsupported_media_type",
        )
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise errors.invalid_request(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise errors.invalid_request("The body must be a JSON object.", code="invalid_json")
    return value


def from_validation(error: ValidationError, body: Any = None) -> ErrorReply:
    """The first fault as an error reply. With the `body` that was validated, names of union members are left out."""
    found = error.errors(include_url=False, include_input=False)
    # A union reports each member's complaint: the one that got furthest is about what the client meant.
    first = max(found, key=lambda one: len(one["loc"]))
    kind, reason = first["type"], first["msg"]
    param = str(first.get("ctx", {}).get("param", "")) if kind == "at_param" else ""
    param = param or spell(first["loc"], body)
    reason = reason.removeprefix("Value error, ")
    if kind == "missing":
        return errors.invalid_request(
            f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return errors.invalid_request(
        f"Invalid '{param}': {reason}"[:_MESSAGE_CHARACTERS], param=param or None, code=code
    )


def spell(location: Sequence[str | int], body: Any) -> str:
    """The location that pydantic gives, in OpenAI's spelling. A step that is not in the body is a union's member, unless it is last."""
    spelled = ""
    here = body
    for index, step in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(step, int):
            spelled += f"[{step}]"
            here = here[step] if isinstance(here, list) and step < len(here) else None
        elif isinstance(here, Mapping):
            if step in here:
                here = here[step]
            elif not is_last:
                continue
            spelled += f".{step}" if spelled else step
        elif body is None:
            spelled += f".{step}" if spelled else step
    return spelled
