"""What an endpoint's code does not say by itself about its requests and answers, said beside it for `api.openapi`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from app.openai.fields import Field

_View = TypeVar("_View", bound="Callable[..., Any]")
_ATTRIBUTE = "openapi_description"

JSON, EVENTS = "application/json", "text/event-stream"
AFTER = {"after": {"type": "string"}}
#: what `api.params` reads
PAGING = {"limit": {"type": "integer", "minimum": 1, "maximum": 100}, **AFTER}
METADATA = {
    "metadata": {
        "type": "object",
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string"},
    }
}


@dataclass(frozen=True)
class Described:
    """Of one endpoint."""

    #: the model that its JSON is checked against
    body: type[BaseModel] | None = None
    body_is_optional: bool = False
    #: the decisions on the body's fields
    fields: Mapping[str, Field] = field(default_factory=dict)
    #: the schema of a form
    form: Mapping[str, Any] | None = None
    #: JSON schemas by name
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    #: media types of what is no error, by status
    answers: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: {200: (JSON,)})
    #: statuses of errors beside those that any request may meet
    errors: tuple[int, ...] = ()


def described(**fields: Any) -> Callable[[_View], _View]:
    """Put a `Described` of these fields on a view."""
    what = Described(**fields)

    def put(view: _View) -> _View:
        setattr(view, _ATTRIBUTE, what)
        return view

    return put


def of(view: Callable[..., Any]) -> Described:
    """What was said of a view; the defaults when nothing was."""
    found: Described = getattr(view, _ATTRIBUTE, None) or Described()
    return found
