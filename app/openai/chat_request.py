"""A chat request as it was accepted: the payload of a job. What each field means here is in `app.openai.fields`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.openai.messages import NAME_PATTERN, AssistantMessage, Message, Wire, text_or_parts
from app.schemas.json_schema import SchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
#: what the client notes of its own, and finds the request again by
Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16),
]


def _checked(schema: Any) -> Any:
    """The schema itself, if it is one."""
    try:
        compile_schema(schema)
    except SchemaError as error:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
        raise PydanticCustomError(
            "invalid_schema",
            "is no JSON schema: at '${place}': {reason}",
            {"place": place, "reason": str(error)},
        ) from error
    return schema


class TextFormat(Wire):
    """Prose, the default."""

    type: Literal["text"]


class JsonObjectFormat(Wire):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(Wire):
    """A schema and its name; `schema` on the wire."""

    name: _Name
    schema_: dict[str, Any] | bool = Field(default=True, alias="schema")
    description: str | None = None
    strict: bool | None = None

    _check = field_validator("schema_")(_checked)


class JsonSchemaFormat(Wire):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class Function(Wire):
    """A function that the model may call; the client runs it."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    _check = field_validator("parameters")(_checked)


class Tool(Wire):
    """A tool; only functions there are."""

    type: Literal["function"]
    function: Function


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


def _kind_of(value: Any) -> str | None:
    """Which member of the union is meant, so that only its faults are reported."""
    if isinstance(value, str):
        return "mode"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return {"function": "one", "allowed_tools": "some"}.get(kind) if isinstance(kind, str) else None


BY_KIND = Discriminator(
    _kind_of,
    custom_error_type="tool_choice",
    custom_error_message="must be 'none', 'auto', 'required', or an object of type 'function' or 'allowed_tools'",
)
Mode = Annotated[Literal["none", "auto", "required"], Tag("mode")]
ToolChoice = Annotated[
    Mode | Annotated[FunctionChoice, Tag("one")] | Annotated[AllowedToolsChoice, Tag("some")], BY_KIND
]


def _forces_call(choice: ToolChoice | None) -> bool:
    """Whether a function has to be called."""
    mode = choice.allowed_tools.mode if isinstance(choice, AllowedToolsChoice) else choice
    return mode == "required" or isinstance(mode, FunctionChoice)


def _named(choice: ToolChoice | None) -> Iterator[tuple[str, str]]:
    """Each function that it names: where, and the name."""
    if isinstance(choice, FunctionChoice):
        yield "tool_choice", choice.function.name
    elif isinstance(choice, AllowedToolsChoice):
        for index, one in enumerate(choice.allowed_tools.tools):
            yield f"tool_choice.allowed_tools.tools[{index}]", one.function.name


class StreamOptions(Wire):
    """Options of a stream."""

    include_usage: bool | None = None


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
_STOP = Discriminator(
    text_or_parts,
    custom_error_type="stop_type",
    custom_error_message="must be a string or an array of strings",
)
_Stop = Annotated[str, StringConstraints(min_length=1)]


#: choices of one request: each is a turn of Claude's
MAX_CHOICES = 16


class ChatRequest(Wire):
    """`POST /v1/chat/completions`. A field that the client left out, or sent as null, is None."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: (
        Annotated[
            Annotated[_Stop, Tag("text")] | Annotated[list[_Stop], Field(max_length=16), Tag("parts")],
            _STOP,
        ]
        | None
    ) = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "batch", "scale", "priority"] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    callback_url: str | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None

    @property
    def forces_answer(self) -> bool:
        """Whether JSON or a call has to come: Claude gives what it is forced to without thinking."""
        is_json = self.response_format is not None and self.response_format.type != "text"
        return is_json or _forces_call(self.tool_choice)

    @property
    def is_stored(self) -> bool:
        """Whether it is listed later."""
        return bool(self.store)

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @model_validator(mode="after")
    def _choice_is_offered(self) -> ChatRequest:
        names = {tool.function.name for tool in self.tools or ()}
        if len(names) < len(self.tools or ()):
            raise _wrong("tools", "has two functions of one name")
        if self.tool_choice == "required" and not names:
            raise _wrong("tool_choice", "'required' needs at least one tool in 'tools'")
        for param, name in _named(self.tool_choice):
            if name not in names:
                raise _wrong(param, "names a function that is not among 'tools'")
        return self

    @model_validator(mode="after")
    def _options_have_a_stream(self) -> ChatRequest:
        if self.stream_options is not None and not self.stream:
            raise _wrong("stream_options", "is only for requests with 'stream': true")
        if self.stream and (self.n or 1) > 1:
            raise _wrong("n", "a stream has one choice: leave 'n' out, or send the request without 'stream'")
        if self.stream and self.callback_url is not None:
            raise _wrong("stream", "a request with a callback_url is answered with 202: nobody reads its stream")
        return self

    @model_validator(mode="after")
    def _assistants_say_something(self) -> ChatRequest:
        for index, message in enumerate(self.messages):
            if not isinstance(message, AssistantMessage):
                continue
            if message.content is None and not message.tool_calls and message.refusal is None:
                raise _wrong(f"messages[{index}].content", "an assistant message needs content or tool_calls")
        return self


def _wrong(param: str, reason: str) -> PydanticCustomError:
    return PydanticCustomError("at_param", "{reason}", {"param": param, "reason": reason})
