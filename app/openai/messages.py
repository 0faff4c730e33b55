"""The messages of a chat request. Source: OpenAI's API reference, "Create chat completion".

Unknown fields are kept apart in `model_extra` until `app.openai.accept` takes them out and names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

#: names of functions and schemas
NAME_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"
_ROLES = "system, developer, user, assistant or tool"


#: how sharply OpenAI's models look at something; Claude always looks as it does
DETAIL = MappingProxyType({"detail": ("auto",)})


class Wire(BaseModel):
    """What all parts of a request share: exact types, nothing guessed."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, validate_by_name=True, validate_by_alias=True)

    #: fields that are read and change nothing, each with the values that ask for nothing
    without_effect: ClassVar[Mapping[str, tuple[Any, ...]]] = {}


class TextPart(Wire):
    """Text."""

    type: Literal["text"]
    text: str


class ImageUrl(Wire):
    """Where the image is."""

    without_effect = DETAIL

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Wire):
    """An image, in the request itself or at an address."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FileData(Wire):
    """A file in the request itself; stored files (`file_id`) there are none."""

    file_data: str
    filename: str | None = None


class FilePart(Wire):
    """A document."""

    type: Literal["file"]
    file: FileData


class RefusalPart(Wire):
    """An assistant's earlier refusal."""

    type: Literal["refusal"]
    refusal: str


def text_or_parts(value: Any) -> str | None:
    """Which member of a union of a string and a list is meant, so that only its faults are reported."""
    if isinstance(value, str):
        return "text"
    return "parts" if isinstance(value, list) else None


_UserPart = Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]
_AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
_CONTENT = Discriminator(
    text_or_parts,
    custom_error_type="content_type",
    custom_error_message="must be a string or an array of content parts",
)
TextContent = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[TextPart], Field(min_length=1), Tag("parts")], _CONTENT
]
UserContent = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[_UserPart], Field(min_length=1), Tag("parts")], _CONTENT
]
AssistantContent = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[_AssistantPart], Field(min_length=1), Tag("parts")], _CONTENT
]


class _Named(Wire):
    """A message that may say who of several is speaking."""

    without_effect = MappingProxyType({"name": ()})

    name: str | None = None


class SystemMessage(_Named):
    """Instructions that take precedence over the user's."""

    role: Literal["system", "developer"]
    content: TextContent


class UserMessage(_Named):
    """What the user says and shows."""

    role: Literal["user"]
    content: UserContent


class CalledFunction(Wire):
    """A call as the model wrote it; `arguments` is JSON text, or what the model took for it."""

    name: str
    arguments: str


class ToolCall(Wire):
    """One of the calls in an assistant's message."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(_Named):
    """What the model said or called in an earlier turn."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    refusal: str | None = None


class ToolMessage(Wire):
    """The result of a call: text, or parts as a user's message has them."""

    role: Literal["tool"]
    content: UserContent
    tool_call_id: str


def _role(value: Any) -> str | None:
    role = value.get("role") if isinstance(value, dict) else getattr(value, "role", None)
    if role == "developer":
        return "system"
    return role if role in ("system", "user", "assistant", "tool") else None


Message = Annotated[
    Annotated[SystemMessage, Tag("system")]
    | Annotated[UserMessage, Tag("user")]
    | Annotated[AssistantMessage, Tag("assistant")]
    | Annotated[ToolMessage, Tag("tool")],
    Discriminator(
        _role,
        custom_error_type="message_role",
        custom_error_message=f"must be an object whose role is {_ROLES}",
    ),
]
