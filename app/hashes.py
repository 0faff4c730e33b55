"""Dataclasses as Redis hashes: a field a value, as text. The one codec of all records that are kept so.

Fields that a hash lacks have their default, and those that a record lacks are left aside, so that code of one version
reads what another wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import Json, TypeAdapter

_T = TypeVar("_T")

#: a field that is a mapping, which is JSON in the hash
Texts = Json[Mapping[str, str]]
Counts = Json[Mapping[str, int]]


def to_text(value: Any) -> str:
    """A field's value as it is in a hash."""
    return json.dumps(dict(value)) if isinstance(value, Mapping) else str(value)


def to_hash(record: Any) -> dict[Any, Any]:
    """The hash, texts by names; a field that is None is left out."""
    return {name: to_text(value) for name, value in vars(record).items() if value is not None}


def from_hash(kind: type[_T], data: Mapping[Any, Any]) -> _T | None:
    """The inverse; None for an empty hash, which is how Redis says that there is none. Raises `ValueError` for what is none of ours."""
    if not data:
        return None
    adapter: TypeAdapter[_T] = _adapter(kind)  # type: ignore[arg-type]
    return adapter.validate_strings({key.decode(): value.decode() for key, value in data.items()})


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
