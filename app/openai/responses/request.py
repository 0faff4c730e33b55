"""A response request as it was accepted, and a decision for each of its fields, as `app.openai.fields` has those of a chat request.

Ranges, names and schemas are checked by the chat request that is made of it (`as_chat`): one place for both endpoints.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.openai.chat_request import BY_KIND, Mode
from app.openai.fields import SHARED, Decision, table
from app.openai.messages import Wire, text_or_parts
from app.openai.responses.items import Item  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.openai import fields


RESPONSE_FIELDS: Mapping[str, fields.Field] = MappingProxyType(
    SHARED
    | table(
        Decision.HONOURED,
        input="text, or items: messages with text, images as data or https URLs, PDFs and text files as data; function calls"
        " and their outputs, of the same parts; references to items of stored responses; a `detail` has no effect and is named"
        " as ignored",
        instructions="the system slot; not carried over to the next response",
        text="format: text, json_object, json_schema; verbosity has no effect",
        tools="functions; nothing is executed here, and others are a 400",
        max_output_tokens="an answer that it cuts is incomplete",
        metadata="shown in the response, and searched by under /v1/jobs; 16 pairs of 64 and 512 characters",
        store="true unless said; kept for NIGHTSHIFT_RESULT_TTL_SECONDS. false: it can't be retrieved or built upon",
        previous_response_id="the conversation so far; 404 when that response is not stored (any more)",
        background="200 at once, to be polled; needs store",
        stream="OpenAI's events; JSON that text.format asked for comes whole, once it is checked",
        callback_url="ours: a signed webhook when it is done; needs background",
    )
    | table(
        Decision.MAPPED,
        reasoning="effort to Claude's thinking; off unless asked for. No summaries",
        truncation="auto is disabled: a conversation that is too long is an error, never shortened",
        include="nothing of what it names exists here; log probabilities are a 400 (or ignored, see above)",
    )
    | table(
        Decision.IGNORED,
        background_options="as soon as there is a worker",
        stream_options="events are not padded",
        max_tool_calls="it is about OpenAI's own tools",
        image="it is about OpenAI's own tools",
        access_programs="OpenAI's own",
    )
    | table(
        Decision.REFUSED,
        conversation="none are kept here: send previous_response_id",
        prompt="no templates are kept here: send instructions and input",
        context_management="conversations are not compacted here",
        presence_penalty="Claude takes none",
        frequency_penalty="Claude takes none",
    )
)


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
    service_tier: Literal["auto", "default", "flex", "batch", "scale", "priority"] | None = None
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
