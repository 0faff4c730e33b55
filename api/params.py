"""What a request carries besides its headers: its body, read whole, and the query of a list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app import errors, json_text
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.json_text import JsonError
from app.openai.faults import from_validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: seconds since the epoch that other programs read as a time, too: the end of the year 9999
LAST_SECOND = 253_402_300_799

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


_T = TypeVar("_T")
DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_PAIRS = 16
_PAIR = re.compile(r"metadata\[(.{0,64})\]", re.DOTALL)


def limit(default: int = DEFAULT_LIMIT, maximum: int = MAX_LIMIT) -> int:
    """How many items are asked for. Raises `ErrorReply` (400)."""
    return number("limit", default, 1, maximum)


def number(name: str, default: int, least: int, most: int) -> int:
    """The query's `name`, between those two. Raises `ErrorReply` (400)."""
    sent = request.args.get(name)
    if sent is None:
        return default
    if not (sent.isascii() and sent.isdigit() and len(sent) < 11 and least <= int(sent) <= most):
        raise errors.invalid_request(f"'{name}' takes {least} to {most}.", param=name, code=ErrorCode.INVALID_VALUE)
    return int(sent)


def choice(name: str, allowed: tuple[str, ...]) -> str | None:
    """The query's `name` if it is one of the allowed; None when it is not there. Raises `ErrorReply` (400)."""
    sent = request.args.get(name)
    if sent is not None and sent not in allowed:
        raise errors.invalid_request(
            f"'{name}' takes one of: {', '.join(allowed)}.", param=name, code=ErrorCode.INVALID_VALUE
        )
    return sent


def metadata() -> dict[str, str]:
    """The pairs of the query's `metadata[name]=value`, which all must be there. Raises `ErrorReply` (400)."""
    found: dict[str, str] = {}
    for name, value in request.args.items():
        if not name.startswith("metadata"):
            continue
        pair = _PAIR.fullmatch(name)
        if pair is None or len(found) == MAX_PAIRS:
            raise errors.invalid_request(
                f"Search metadata as '?metadata[name]=value', up to {MAX_PAIRS} pairs, names of up to 64 characters.",
                param="metadata",
                code=ErrorCode.INVALID_VALUE,
            )
        found[pair[1]] = value
    return found


def after(items: Sequence[_T], id_of: Callable[[_T], str]) -> Sequence[_T]:
    """Those of the items that follow the one that the query's `after` names. Raises `ErrorReply` (400) for an unknown one."""
    sent = request.args.get("after")
    if sent is None:
        return items
    for index, item in enumerate(items):
        if id_of(item) == sent:
            return items[index + 1 :]
    raise errors.invalid_request(f"There is no '{sent[:100]}' to list after.", param="after")


def page(items: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """The list object of up to `size` of the items; one item more than that says that there are more."""
    data = items[:size]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(items) > size,
    }
