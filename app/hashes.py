"""Dataclasses as Redis hashes: a field a value, as text. What both kinds of records are kept as.

Fields that a hash lacks have their default, and those that a record lacks are left aside, so that code of one version
reads what another wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

#: how a field is read back, by its annotation; any other is text
_READERS: Mapping[str, Any] = {
    "int": int,
    "int | None": int,
    "bool": lambda text: text == "True",
    "float": float,
    "float | None": float,
    "Mapping[str, str]": json.loads,
}


def to_hash(record: Any) -> dict[str, str]:
    """The hash; a field that is None is left out, a mapping is JSON."""
    return {
        name: json.dumps(dict(value)) if isinstance(value, Mapping) else str(value)
        for name, value in vars(record).items()
        if value is not None
    }


def from_hash(kind: type[_T], data: Mapping[Any, Any], **readers: Any) -> _T | None:
    """The inverse; None for an empty hash, which is how Redis says that there is none. `readers`: by annotation, too."""
    if not data:
        return None
    known = {**_READERS, **readers}
    text = {key.decode(): value.decode() for key, value in data.items()}
    annotations = kind.__annotations__.items()
    return kind(**{name: known.get(wanted, str)(text[name]) for name, wanted in annotations if name in text})
