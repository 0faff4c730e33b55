"""The items of a response's input. Source: OpenAI's API reference, "Create a model response".

`plain` gives an item as it is kept, listed and replayed: each content a list of parts, and the id that the client gave it,
or "" (`app.openai.responses.objects.name_inputs` fills it in).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.openai.messages import DETAIL, Wire, text_or_parts

#: items that are left out: what they hold is of use to OpenAI's own models only
LEFT_OUT = frozenset({"reasoning", "compaction"})


class InputText(Wire):
    """Text."""

    type: Literal["input_text"]
    text: str

    def plain(self) -> dict[str, Any]:
        """The part as it is kept."""
        return {"type": "input_text", "text": self.text}


class InputImage(Wire):
    """An image, in the request itself or at an https address; as a stored file (`file_id`) it can't be sent."""

    without_effect = DETAIL

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None

    def plain(self) -> dict[str, Any]:
        """The part as it is kept."""
        return {"type": "input_image", "image_url": self.image_url, "detail": self.detail or "auto"}


class InputFile(Wire):
    """A document in the request itself."""

    without_effect = DETAIL

    type: Literal["input_file"]
    file_data: str
    filename: str | None = None
    detail: str | None = None

    def plain(self) -> dict[str, Any]:
        """The part as it is kept."""
        named = {"filename": self.filename} if self.filename else {}
        return {"type": "input_file", "file_data": self.file_data, **named}


class OutputText(Wire):
    """What the model said earlier."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None

    def plain(self) -> dict[str, Any]:
        """The part as it is kept."""
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}


class Refusal(Wire):
    """What the model refused earlier."""

    type: Literal["refusal"]
    refusal: str

    def plain(self) -> dict[str, Any]:
        """The part as it is kept."""
        return {"type": "refusal", "refusal": self.refusal}


_InputPart = Annotated[InputText | InputImage | InputFile, Field(discriminator="type")]
_OutputPart = Annotated[InputText | OutputText | Refusal, Field(discriminator="type")]
_CONTENT = Discriminator(
    text_or_parts,
    custom_error_type="content_type",
    custom_error_message="must be a string or an array of content parts",
)
_InputContent = Annotated[Annotated[str, Tag("text")] | Annotated[list[_InputPart], Tag("parts")], _CONTENT]
_SystemContent = Annotated[Annotated[str, Tag("text")] | Annotated[list[InputText], Tag("parts")], _CONTENT]
_OutputContent = Annotated[Annotated[str, Tag("text")] | Annotated[list[_OutputPart], Tag("parts")], _CONTENT]


class _Item(Wire):
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class _Message(_Item):
    type: Literal["message"] | None = None
    phase: str | None = None


class UserMessage(_Message):
    """What the user says and shows."""

    role: Literal["user"]
    content: _InputContent

    def plain(self) -> dict[str, Any]:
        """The item as it is kept."""
        return _input_message(self.id, self.role, self.content)


class SystemMessage(_Message):
    """Instructions that take precedence over the user's."""

    role: Literal["system", "developer"]
    content: _SystemContent

    def plain(self) -> dict[str, Any]:
        """The item as it is kept."""
        return _input_message(self.id, self.role, self.content)


class AssistantMessage(_Message):
    """What the model said in an earlier turn."""

    role: Literal["assistant"]
    content: _OutputContent

    def plain(self) -> dict[str, Any]:
        """The item as it is kept."""
        said = [OutputText(type="output_text", text=self.content)] if isinstance(self.content, str) else self.content
        parts = [OutputText(type="output_text", text=one.text) if isinstance(one, InputText) else one for one in said]
        return {
            "id": self.id or "",
            "type": "message",
            "role": "assistant",
            "status": self.status or "completed",
            "content": [part.plain() for part in parts],
        }


class FunctionCall(_Item):
    """A call that the model made; `arguments` is JSON text."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str

    def plain(self) -> dict[str, Any]:
        """The item as it is kept."""
        return {
            "id": self.id or "",
            "type": "function_call",
            "status": "completed",
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }


class FunctionCallOutput(_Item):
    """The result of a call: text, or parts as a user's message has them."""

    type: Literal["function_call_output"]
    call_id: str
    output: _InputContent

    def plain(self) -> dict[str, Any]:
        """The item as it is kept."""
        output = self.output if isinstance(self.output, str) else [part.plain() for part in self.output]
        return {
            "id": self.id or "",
            "type": "function_call_output",
            "status": "completed",
            "call_id": self.call_id,
            "output": output,
        }


class ItemReference(Wire):
    """An item that is stored here, by its id; its type may be missing."""

    type: Literal["item_reference"] | None = None
    id: str


def _input_message(item_id: str | None, role: str, content: Any) -> dict[str, Any]:
    parts = [InputText(type="input_text", text=content)] if isinstance(content, str) else content
    return {
        "id": item_id or "",
        "type": "message",
        "role": role,
        "status": "completed",
        "content": [part.plain() for part in parts],
    }


def user_text(text: str) -> dict[str, Any]:
    """The item that an input of mere text is."""
    return _input_message(None, "user", text)


def _which(value: Any) -> str | None:
    """The item's kind: a message may leave out its type."""
    found: Any = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    kind = found.get("type")
    if kind is None and "role" not in found and "id" in found:
        return "item_reference"
    if kind in (None, "message"):
        kind = "system" if found.get("role") == "developer" else found.get("role")
        return kind if kind in ("user", "system", "assistant") else None
    return str(kind) if kind in ("function_call", "function_call_output", "item_reference") else None


Item = Annotated[
    Annotated[UserMessage, Tag("user")]
    | Annotated[SystemMessage, Tag("system")]
    | Annotated[AssistantMessage, Tag("assistant")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(
        _which,
        custom_error_type="item_type",
        custom_error_message="must be a message of a user, system, developer or assistant, a function_call,"
        " a function_call_output or an item_reference",
    ),
]
