"""Sorted sets that list ids by time, read a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from app import errors
from app.connection import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis

_T = TypeVar("_T")
#: ids that are read in one go
_PART = 200


def start_after(
    connection: Redis,
    index: str,
    after: str | None,
    *,
    what: str,
    newest_first: bool = True,
    records: str,
    owner: str | None,
) -> int:
    """The rank of the one that follows the id `after`, 0 without one. Raises `ErrorReply` (400) for an unknown id, and another owner's.

    `what`: as clients call the things that are listed; `records`: the prefix of their hashes; `owner` None: anybody.
    """
    if after is None:
        return 0
    rank = (connection.zrevrank if newest_first else connection.zrank)(index, after)
    if rank is None or (owner is not None and connection.hget(records + after, "owner") != owner.encode()):
        raise errors.invalid_request(f"There is no {what} '{after[:100]}' to list after.", param="after")
    return cast("int", rank) + 1


def page(
    connection: Redis,
    index: str,
    after: str | None,
    load: Callable[[list[str]], Iterable[_T]],
    *,
    limit: int,
    what: str,
    newest_first: bool = True,
    records: str,
    owner: str | None,
) -> list[_T]:
    """Up to `limit` of what `load` makes of the ids from the one that follows `after`; it may leave some out.

    Raises as `start_after` does.
    """
    start = start_after(connection, index, after, what=what, newest_first=newest_first, records=records, owner=owner)
    found: list[_T] = []
    while len(found) < limit and (ids := texts(connection.zrange(index, start, start + _PART - 1, desc=newest_first))):
        found += load(ids)
        start += len(ids)
    return found[:limit]
