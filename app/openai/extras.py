"""What of a request has no effect: named, so that nobody is misled; what is unknown is taken out, so that no worker acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from app.openai.messages import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


def take_extras(model: BaseModel) -> list[str]:
    """Remove the unknown fields at every depth. Paths of all that has no effect, indexes left out (`messages[].name`), sorted."""
    return sorted(set(_take(model, "")))


def _take(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        extra = value.__pydantic_extra__
        for name in list(extra or ()):
            if extra is not None and extra.pop(name) is not None:
                yield f"{path}.{name}" if path else name
            value.__pydantic_fields_set__.discard(name)
        for name, harmless in value.without_effect.items() if isinstance(value, Wire) else ():
            if getattr(value, name) not in (None, *harmless):
                yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from _take(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _take(item, f"{path}[]")
