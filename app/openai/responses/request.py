"""A response request as it was accepted. What each field means here is in `app.openai.responses.fields`.

Ranges, names and schemas are checked by the chat request that is made of it (`as_chat`): one place for both endpoints.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.openai.chat_request import BY_KIND, Mode
from app.openai.messages import Wire, text_or_parts
from app.openai.responses.items import Item  # noqa: TC001 - pydantic reads it

#: what can't be beside an answer
REFUSED_INCLUDES = frozenset({"message.output_text.logprobs"})


class TextFormat(Wire):
    """Prose, the default, or any JSON object."""

    type: Literal["text", "json_object"]


class JsonSchemaFormat(Wire):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    name: str
    schema_: dict[str, Any] | bool = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(Wire):
    """What the text has to be."""

    format: Annotated[TextFormat | JsonSchemaFormat, Field(discriminator="type")] | None = None


class FunctionTool(Wire):
    """A function that the model may call; the client runs it."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionChoice(Wire):
    """This very function must be called."""

    type: Literal["function"]
    name: str


class AllowedToolsChoice(Wire):
    """Some of the functions that are offered."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[FunctionChoice]


class Reasoning(Wire):
    """How much is thought before the answer."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


_ToolChoice = Annotated[
    Mode | Annotated[FunctionChoice, Tag("one")] | Annotated[AllowedToolsChoice, Tag("some")], BY_KIND
]
_INPUT = Discriminator(
    text_or_parts,
    custom_error_type="input_type",
    custom_error_message="must be a string or an array of items",
)


class ResponseRequest(Wire):
    """`POST /v1/responses`. A field that the client left out, or sent as null, is None."""

    model: str
    input: Annotated[Annotated[str, Tag("text")] | Annotated[list[Item], Tag("parts")], _INPUT]
    instructions: str | None = None
    text: TextConfig | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: _ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: Reasoning | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    stream: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    callback_url: str | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None

    @property
    def is_stored(self) -> bool:
        """Whether it can be retrieved, and built upon."""
        return self.store is not False

    @field_validator("tools", mode="before")
    @classmethod
    def _are_functions(cls, tools: Any) -> Any:
        for index, tool in enumerate(tools if isinstance(tools, list) else ()):
            kind = tool.get("type") if isinstance(tool, dict) else None
            if isinstance(kind, str) and kind != "function":
                raise wrong(
                    f"tools[{index}]", f"tools of type '{kind[:50]}' are not run here: only functions are supported"
                )
        return tools

    @model_validator(mode="after")
    def _agrees(self) -> ResponseRequest:
        if self.background and not self.is_stored:
            raise wrong("background", "a background response has to be stored: leave 'store' out")
        if self.callback_url is not None and not self.background:
            raise wrong("callback_url", "is only for responses with 'background': true")
        for name in self.include or ():
            if name in REFUSED_INCLUDES:
                raise wrong("include", f"'{name}': Claude reports none")
        if self.input == [] and self.previous_response_id is None:
            raise wrong("input", "needs at least one item")
        return self


def wrong(param: str, reason: str) -> PydanticCustomError:
    """A fault of that parameter, for `app.openai.faults`."""
    return PydanticCustomError("at_param", "{reason}", {"param": param, "reason": reason})
