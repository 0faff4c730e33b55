"""Dataclasses as Redis hashes: a field a value, as text. The one codec of all records that are kept so.

Fields that are missing in a hash get their default, and fields that the record does not know are ignored, so that code of
one version reads what another wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Json, TypeAdapter

from app.connection import REFUSING, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis

_T = TypeVar("_T")

#: a field that is a mapping, which is JSON in the hash
Texts = Json[Mapping[str, str]]
Counts = Json[Mapping[str, int]]


def to_text(value: Any) -> str:
    """A field's value as it is in a hash."""
    # Most are texts and numbers: whether a value is a mapping takes longer to find out than all the rest.
    if isinstance(value, str | int | float) or not isinstance(value, Mapping):
        return str(value)
    return json.dumps(dict(value))


def to_hash(record: Any) -> dict[Any, Any]:
    """The hash, texts by names; a field that is None is left out."""
    fields = vars(record).items()
    return {name: value if type(value) is str else to_text(value) for name, value in fields if value is not None}


def difference(before: Any, after: Any) -> tuple[dict[Any, Any], list[str]]:
    """What to write, and the fields to delete, for the hash of `before` to become that of `after`, a record of the same kind."""
    was, changed, gone = vars(before), {}, []
    for name, value in vars(after).items():
        if value is not was[name] and value != was[name]:
            if value is None:
                gone.append(name)
            else:
                changed[name] = to_text(value)
    return changed, gone


def from_hash(kind: type[_T], data: Mapping[Any, Any]) -> _T | None:
    """The inverse; None for an empty hash, which is how Redis says that there is none. Raises `ValueError` for what is none of ours."""
    if not data:
        return None
    adapter: TypeAdapter[_T] = _adapter(kind)  # type: ignore[arg-type]
    return adapter.validate_strings({key.decode(): value.decode() for key, value in data.items()})


def read_all(connection: Redis, kind: type[_T], keys: Iterable[str]) -> list[_T | None]:
    """The records of these hashes, in one round; None for one that is not there."""
    pipe = connection.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(key)
    return [from_hash(kind, data) for data in pipe.execute()]


def read_listed(connection: Redis, kind: type[_T], names_key: str, key_of: Callable[[str], str]) -> list[_T]:
    """The records of the names in a set, by name. Names whose hash has expired are taken out of it."""
    members: Any = connection.smembers(names_key)
    names = sorted(texts(members))
    rows = dict(zip(names, read_all(connection, kind, map(key_of, names)), strict=True))
    if silent := [name for name, row in rows.items() if row is None]:
        # A Redis that takes no writes can be looked at all the same.
        with suppress(*REFUSING):
            connection.srem(names_key, *silent)
    return [row for row in rows.values() if row is not None]


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
