"""OpenAI's lists: `?limit=&after=`, and `{object: "list", data, first_id, last_id, has_more}`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from flask import request

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
