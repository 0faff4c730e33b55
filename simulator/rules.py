"""Rules: what a test or a benchmark wants answered, in place of the default answer.

A rule's JSON is ``{"match": {...}, "times": 1, "after": 0, "probability": 0.5, "seed": 7, "respond": {...},
"latency_ms": 0, "tokens_per_second": 0}``; the classes below give each field's meaning. An unknown field is
an error.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from simulator.batch_spec import BatchCall, BatchSpec


class RuleError(ValueError):
    """The rules are not valid; the message names each wrong field."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """Which requests a rule is for; every field that is given must fit, and none given fits all.

    ``contains`` is looked for in the last user text, ``system_contains`` in the system prompt. ``model`` is
    the requested model's exact name. ``header`` maps names to exact values (null: the header must be absent).

    Requests for messages fit alone and within a batch, or as ``batched`` says. A rule with ``batches`` is for that
    call of Message Batches instead: its other fields are held against the first request of the batch that the call is
    about, and in a ``list`` only ``header`` can fit.
    """

    contains: str | None = None
    system_contains: str | None = None
    model: str | None = None
    header: dict[str, str | None] = Field(default_factory=dict)
    batched: bool | None = None
    batches: BatchCall | None = None


class ToolCall(_Strict):
    """A tool to call: ``name`` plain or with its ``mcp__server__`` prefix; no ``input``: made from the schema."""

    name: str
    input: dict[str, Any] | None = None


class ErrorSpec(_Strict):
    """An error in place of an answer; ``type`` and ``message`` default to those that fit the status."""

    status: int = Field(ge=400, le=599)
    type: str | None = None
    message: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)


class StreamError(_Strict):
    """An ``error`` event inside a stream that began well, after ``after_deltas`` deltas."""

    after_deltas: int = Field(default=0, ge=0)
    type: str = "overloaded_error"
    message: str = "Overloaded"


class UsageLimit(_Strict):
    """A subscription's usage limit.

    ``rejected`` answers 429; ``allowed`` and ``allowed_warning`` only add their headers to the answer. The
    reset is ``resets_at`` (epoch seconds), or ``resets_in_seconds`` from the moment of the answer. ``type``
    is the window that speaks for the limit. ``utilization`` (0 to 1) is told for both windows.
    """

    status: Literal["rejected", "allowed", "allowed_warning"] = "rejected"
    resets_at: int | None = None
    resets_in_seconds: float = 3600
    type: str = "five_hour"
    utilization: float | None = Field(default=None, ge=0)


class RepeatText(_Strict):
    """A text of any length: ``unit``, ``count`` times."""

    unit: str = Field(min_length=1)
    count: int = Field(ge=0, le=100_000_000)


class Usage(_Strict):
    """Token counts that replace those counted."""

    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    cache_read_input_tokens: int | None = Field(default=None, ge=0)
    cache_creation_input_tokens: int | None = Field(default=None, ge=0)


#: Fields of ``respond`` that say what the answer is; one of them at most. With none it is the default answer.
CONTENT_FIELDS = (
    "text",
    "texts",
    "tool_calls",
    "structured",
    "json_value",
    "error",
    "refusal",
    "repeat_text",
    "echo",
    "batch_result",
)


class Respond(_Strict):
    """The answer.

    Content, at most one of: ``text``; ``texts`` (one block each); ``tool_calls``; ``structured`` (the input
    of the CLI's StructuredOutput tool, or JSON text when that is not offered); ``json`` (as text); ``error``;
    ``refusal`` (true, or a text); ``repeat_text``; ``echo`` (the whole last user text back); ``batch_result`` (within a batch:
    a result of this type and nothing else, ``expired`` or an unknown one; alone it is the default answer).

    Faults: ``break_after_deltas`` closes the connection after so many deltas, ``stream_error`` puts an error
    event there, ``malformed_sse_after_deltas`` an event that is no JSON. ``hang_seconds`` without a byte:
    before the answer, or within it with ``hang_after_deltas``; ``held``: there, until the rule is removed.

    Others: ``usage_limit``, ``headers`` (added to the answer's), ``stop_reason``, ``usage``, ``thinking``
    (its text); ``batch`` for calls of Message Batches, which take ``error``, ``hang_seconds`` and ``headers`` besides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    text: str | None = None
    texts: list[str] | None = None
    tool_calls: list[ToolCall] | None = Field(default=None, min_length=1)
    structured: Any = None
    json_value: Any = Field(default=None, alias="json")
    error: ErrorSpec | None = None
    refusal: bool | str = False
    repeat_text: RepeatText | None = None
    echo: bool = False
    batch_result: str | None = None

    break_after_deltas: int | None = Field(default=None, ge=0)
    stream_error: StreamError | None = None
    malformed_sse_after_deltas: int | None = Field(default=None, ge=0)
    hang_seconds: float = Field(default=0, ge=0)
    hang_after_deltas: int | None = Field(default=None, ge=0)
    held: bool = False

    usage_limit: UsageLimit | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    stop_reason: str | None = None
    usage: Usage = Usage()
    thinking: str | None = None
    batch: BatchSpec | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        given = [name for name in CONTENT_FIELDS if name in self.model_fields_set]
        if len(given) > 1:
            raise ValueError(f"only one of these may be given: {', '.join(given)}")
        return self

    @property
    def needs_tool_turn(self) -> bool:
        """Whether the answer calls a tool, so that it does not fit a request which brings that tool's result."""
        return self.tool_calls is not None or "structured" in self.model_fields_set


class Rule(_Strict):
    """One rule.

    It is used ``times`` times at most (null: without end), leaves out the first ``after`` requests that
    match, and takes a matching one with ``probability`` by a random generator of its own, seeded with
    ``seed``. ``latency_ms`` and ``tokens_per_second`` go before the simulator's.
    """

    match: Match = Match()
    times: int | None = Field(default=None, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1, ge=0, le=1)
    seed: int = 0
    respond: Respond = Respond()
    latency_ms: float | None = Field(default=None, ge=0)
    tokens_per_second: float | None = Field(default=None, ge=0)


_RULES = TypeAdapter(list[Rule])


def parse_rules(data: bytes | str) -> list[Rule]:
    """Return the rules of a JSON text that holds one rule or a list of them.

    Raises:
        RuleError: It is no JSON, or a field is wrong; the message says which.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise RuleError(f"not JSON: {error}") from error
    try:
        return _RULES.validate_python(value if isinstance(value, list) else [value])
    except ValidationError as error:
        problems = (f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        raise RuleError("; ".join(problems)) from error


def load_rules(path: Path) -> list[Rule]:
    """Return the rules of a JSON file; see :func:`parse_rules`."""
    return parse_rules(path.read_bytes())
