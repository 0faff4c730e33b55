"""`tool_choice` of a chat request: a mode, one function, or some of the functions that are offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.openai.messages import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


class ChosenFunction(Wire):
    """The function's name."""

    name: str


class FunctionChoice(Wire):
    """This very function must be called."""

    type: Literal["function"]
    function: ChosenFunction


class AllowedTools(Wire):
    """The only functions that may be called, and whether one of them has to be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[FunctionChoice], Field(min_length=1)]


class AllowedToolsChoice(Wire):
    """Some of the functions that are offered."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def kind_of(value: Any) -> str | None:
    """Which member of the union is meant, so that only its faults are reported."""
    if isinstance(value, str):
        return "mode"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return {"function": "one", "allowed_tools": "some"}.get(kind) if isinstance(kind, str) else None


BY_KIND = Discriminator(
    kind_of,
    custom_error_type="tool_choice",
    custom_error_message="must be 'none', 'auto', 'required', or an object of type 'function' or 'allowed_tools'",
)
Mode = Annotated[Literal["none", "auto", "required"], Tag("mode")]
ToolChoice = Annotated[
    Mode | Annotated[FunctionChoice, Tag("one")] | Annotated[AllowedToolsChoice, Tag("some")], BY_KIND
]


def forces_call(choice: ToolChoice | None) -> bool:
    """Whether a function has to be called."""
    mode = choice.allowed_tools.mode if isinstance(choice, AllowedToolsChoice) else choice
    return mode == "required" or isinstance(mode, FunctionChoice)


def named(choice: ToolChoice | None) -> Iterator[tuple[str, str]]:
    """Each function that it names: where, and the name."""
    if isinstance(choice, FunctionChoice):
        yield "tool_choice", choice.function.name
    elif isinstance(choice, AllowedToolsChoice):
        for index, one in enumerate(choice.allowed_tools.tools):
            yield f"tool_choice.allowed_tools.tools[{index}]", one.function.name
