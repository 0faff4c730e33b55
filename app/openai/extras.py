"""What a request carries that we do not know: taken out, so that no worker acts on it, and named, so that nobody is misled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


def take_extras(model: BaseModel) -> list[str]:
    """Remove the unknown fields at every depth; their paths without indexes (`messages[].cache_control`), sorted."""
    return sorted(set(_take(model, "")))


def _take(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        extra = value.__pydantic_extra__
        for name in list(extra or ()):
            if extra is not None and extra.pop(name) is not None:
                yield f"{path}.{name}" if path else name
            value.__pydantic_fields_set__.discard(name)
        for name in type(value).model_fields:
            yield from _take(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _take(item, f"{path}[]")
