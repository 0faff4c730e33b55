"""What a request wants for an answer: text, a value that fits a schema, or calls of the client's functions.

Both a `response_format` and a function that must be called are a value: Claude gives it as the input of the one tool
that it is forced to use. The tool's schema goes with the request, not with the process, so that one warm process serves
every schema, and the CLI has no schema to send the model's answers back for unasked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workers.claude import SCHEMA_TOOL
from workers.translate import functions
from workers.translate.schema import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.openai.json_schema import Schema

#: what the CLI holds the value against itself: any input of a tool
ANY_OBJECT = '{"type":"object"}'


@dataclass(frozen=True)
class Value:
    """One value that fits a schema: the answer itself, or the arguments of `function`."""

    schema: Schema
    shape: Shape
    function: str | None = None
    description: str = ""

    def tool(self) -> dict[str, Any]:
        """The tool whose input is the value."""
        given = f"property 'value' is {self._what()}" if self.shape.is_wrapped else f"input is {self._what()}"
        words = f"Call this once, to answer: its {given}.\n\n{self.description}".strip()
        return {"name": SCHEMA_TOOL, "description": words, "input_schema": self.shape.input_schema}

    def _what(self) -> str:
        return f"the arguments of the function '{self.function}'" if self.function else "the whole answer"


@dataclass(frozen=True)
class Offer:
    """A function that the model may call."""

    name: str
    shape: Shape
    tool: Mapping[str, Any]
    #: what its arguments are held against; None: they are the client's to check
    checked_by: Schema | None


@dataclass(frozen=True)
class Wanted:
    """See the module. Neither a value nor an offer: text."""

    value: Value | None = None
    #: by the name that the CLI tells
    offers: Mapping[str, Offer] = field(default_factory=dict)
    #: a call or the value must come, text alone is no answer
    is_forced: bool = False
    #: the Messages API's `tools` and `tool_choice`
    body: Mapping[str, Any] = field(default_factory=dict)
    #: names of all the client's functions, so that one process serves whichever of them are allowed
    known: tuple[str, ...] = ()

    @property
    def is_tellable(self) -> bool:
        """Whether the text may be told while it comes: what is to be checked is checked before anybody sees it."""
        return self.value is None and not any(offer.checked_by is not None for offer in self.offers.values())

    @property
    def launch_schema(self) -> str | None:
        """`Profile.schema`."""
        return ANY_OBJECT if self.value is not None else None

    @property
    def launch_tools(self) -> str | None:
        """`Profile.tools`."""
        return functions.launch_names(self.known) if self.known else None


def wanted(request: dict[str, Any]) -> Wanted:
    """What this request wants."""
    tools = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or ()}
    choice = request.get("tool_choice", "auto") if tools else "none"
    if choice == "none":
        value = _asked_value(request)
        if value is not None:
            return _only(value)
        return Wanted(body=_declared(request, tools))
    known = tuple(tools)
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [tool["function"]["name"] for tool in allowed["tools"]]
        tools, choice = {name: tools[name] for name in names}, allowed["mode"]
    if isinstance(choice, dict):
        return _only(_arguments_of(tools[choice["function"]["name"]]))
    if choice == "required" and len(tools) == 1:
        return _only(_arguments_of(next(iter(tools.values()))))
    value = None if choice == "required" else _asked_value(request)
    offered = _offered(
        tools, value, is_required=choice == "required", is_single=request.get("parallel_tool_calls") is False
    )
    return replace(offered, known=known)


def _only(value: Value) -> Wanted:
    body = {"tools": [value.tool()], "tool_choice": {"type": "tool", "name": SCHEMA_TOOL}}
    return Wanted(value=value, is_forced=True, body=body)


def _offered(tools: dict[str, Any], value: Value | None, *, is_required: bool, is_single: bool) -> Wanted:
    """Some functions, and beside them the value where the final answer has a schema."""
    offers = {functions.short_name(name): _offer(function) for name, function in tools.items()}
    declared = [dict(offer.tool) for offer in offers.values()]
    is_forced = is_required or value is not None
    choice: dict[str, Any] = {"type": "any" if is_forced else "auto"}
    if is_single:
        choice["disable_parallel_tool_use"] = True
    if value is not None:
        declared.append(value.tool())
    return Wanted(value, offers, is_forced, {"tools": declared, "tool_choice": choice})


def _asked_value(request: dict[str, Any]) -> Value | None:
    asked = request.get("response_format") or {"type": "text"}
    if asked["type"] == "json_object":
        return Value({"type": "object"}, shape_of({"type": "object"}), description="The answer is a JSON object.")
    if asked["type"] == "json_schema":
        named = asked["json_schema"]
        schema = named.get("schema", True)
        words = f"The answer is a '{named['name']}'. {named.get('description') or ''}".strip()
        return Value(schema, shape_of(schema), description=words)
    return None


def _arguments_of(function: dict[str, Any]) -> Value:
    schema = _parameters(function)
    shape = shape_of(schema, may_be_empty=True)
    return Value(schema, shape, function["name"], function.get("description") or "")


def _offer(function: dict[str, Any]) -> Offer:
    schema = _parameters(function)
    shape = shape_of(schema, may_be_empty=True)
    checked_by = schema if function.get("strict") else None
    return Offer(function["name"], shape, functions.tool(function, shape), checked_by)


def _parameters(function: dict[str, Any]) -> dict[str, Any]:
    return function.get("parameters") or {"type": "object", "properties": {}}


def _declared(request: dict[str, Any], tools: dict[str, Any]) -> dict[str, Any]:
    """Calls in the history need their tools named, also where none may be called now."""
    called = [call["function"]["name"] for message in request["messages"] for call in message.get("tool_calls") or ()]
    if not called:
        return {}
    named = {name: tools.get(name, {"name": name}) for name in (*tools, *called)}
    offers = [dict(_offer(function).tool) for function in named.values()]
    return {"tools": offers, "tool_choice": {"type": "none"}}


def dump(body: Mapping[str, Any]) -> str:
    """As `Profile.extra_body` has it; the order of what is in it is the client's."""
    return json.dumps(body, separators=(",", ":"))
