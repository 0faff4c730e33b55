"""Sorted sets that list ids by time, read a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app import errors
from app.connection import texts

if TYPE_CHECKING:
    from redis import Redis


def start_after(connection: Redis, index: str, after: str | None, *, what: str, newest_first: bool = True) -> int:
    """The rank of the one that follows the id `after`, 0 without one. Raises `ErrorReply` (400) for an unknown id.

    `what`: as clients call the things that are listed.
    """
    if after is None:
        return 0
    rank = (connection.zrevrank if newest_first else connection.zrank)(index, after)
    if rank is None:
        raise errors.invalid_request(f"There is no {what} '{after[:100]}' to list after.", param="after")
    return cast("int", rank) + 1


def page(
    connection: Redis, index: str, *, limit: int, after: str | None, what: str, newest_first: bool = True
) -> list[str]:
    """Up to `limit` ids from the one that follows `after`. Raises `ErrorReply` (400) as `start_after` does."""
    start = start_after(connection, index, after, what=what, newest_first=newest_first)
    return texts(connection.zrange(index, start, start + limit - 1, desc=newest_first))
