"""What a request's answer has to be: text, a value that fits a schema, or calls of the client's functions.

Both a `response_format` and a function that must be called are a value: Claude gives it as the input of the one tool
that it is forced to use. So a schema is part of the request, whichever way that takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.messages.schema import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: name of the tool whose input is the value, unless one of the client's functions has it
VALUE_TOOL = "give_answer"


@dataclass(frozen=True)
class Value:
    """One value that fits a schema: the answer itself, or the arguments of `function`."""

    shape: Shape
    function: str | None = None
    description: str = ""
    tool_name: str = VALUE_TOOL

    def tool(self) -> dict[str, Any]:
        """The tool whose input is the value."""
        given = f"property 'value' is {self._what()}" if self.shape.is_wrapped else f"input is {self._what()}"
        # A function may be called more than once, with other arguments.
        begin = "Call this to answer" if self.function else "Call this once, to answer"
        words = f"{begin}: its {given}.\n\n{self.description}".strip()
        return {"name": self.tool_name, "description": words, "input_schema": self.shape.input_schema}

    def _what(self) -> str:
        return f"the arguments of the function '{self.function}'" if self.function else "the whole answer"


@dataclass(frozen=True)
class ToolSpec:
    """A function that the model may call."""

    name: str
    shape: Shape
    tool: Mapping[str, Any]
    #: whether its arguments are held against their schema; else they are the client's to check
    is_checked: bool


@dataclass(frozen=True)
class OutputSpec:
    """See the module. Neither a value nor functions: text."""

    value: Value | None = None
    #: the functions that the model may call, by name
    functions: Mapping[str, ToolSpec] = field(default_factory=dict)
    #: a call or the value must come, text alone is no answer
    is_forced: bool = False
    #: the Messages API's `tools` and `tool_choice`
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Mapping[str, Any] | None = None
    #: names of all the client's functions, whichever of them are allowed
    known: tuple[str, ...] = ()
    #: stop sequences at which the text is cut here (`app.messages.stops`)
    cut_at: tuple[str, ...] = ()

    @property
    def can_stream(self) -> bool:
        """Whether the text may be sent while it comes: what is to be checked is checked before anybody sees it."""
        return self.value is None and not any(one.is_checked for one in self.functions.values())


def output_spec(request: dict[str, Any]) -> OutputSpec:
    """What this chat request wants."""
    functions = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or ()}
    choice = request.get("tool_choice", "auto") if functions else "none"
    if choice == "none":
        value = _asked_value(request)
        if value is not None:
            return _only(value, _called(request), is_single=True)
        return _declared(_called(request), functions)
    known = tuple(functions)
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [tool["function"]["name"] for tool in allowed["tools"]]
        functions, choice = {name: functions[name] for name in names}, allowed["mode"]
    taken = (*known, *_called(request))
    is_single = request.get("parallel_tool_calls") is False
    if isinstance(choice, dict):
        return _only(_arguments_of(functions[choice["function"]["name"]]), taken, is_single=is_single)
    if choice == "required" and len(functions) == 1:
        return _only(_arguments_of(next(iter(functions.values()))), taken, is_single=is_single)
    value = None if choice == "required" else _asked_value(request)
    if value is not None:
        value = _named_apart(value, taken)
    spec = _with_functions(functions, value, is_required=choice == "required", is_single=is_single)
    return replace(spec, known=known)


def _only(value: Value, taken: Iterable[str], *, is_single: bool) -> OutputSpec:
    value = _named_apart(value, taken)
    choice: dict[str, Any] = {"type": "tool", "name": value.tool_name}
    if is_single:
        choice["disable_parallel_tool_use"] = True
    return OutputSpec(value=value, is_forced=True, tools=(value.tool(),), tool_choice=choice)


def _named_apart(value: Value, taken: Iterable[str]) -> Value:
    """With a name for its tool that none of the client's functions has."""
    name, names = VALUE_TOOL, set(taken)
    while name in names:
        name += "_"
    return replace(value, tool_name=name)


def _with_functions(
    functions: dict[str, Any], value: Value | None, *, is_required: bool, is_single: bool
) -> OutputSpec:
    """Some functions, and beside them the value where the final answer has a schema."""
    specs = {name: _tool_spec(function) for name, function in functions.items()}
    declared = [one.tool for one in specs.values()]
    is_forced = is_required or value is not None
    choice: dict[str, Any] = {"type": "any" if is_forced else "auto"}
    if is_single:
        choice["disable_parallel_tool_use"] = True
    if value is not None:
        declared.append(value.tool())
    return OutputSpec(value, specs, is_forced, tuple(declared), choice)


def _asked_value(request: dict[str, Any]) -> Value | None:
    asked = request.get("response_format") or {"type": "text"}
    if asked["type"] == "json_object":
        return Value(shape_of({"type": "object"}), description="The answer is a JSON object.")
    if asked["type"] == "json_schema":
        named = asked["json_schema"]
        words = f"The answer is a '{named['name']}'. {named.get('description') or ''}".strip()
        return Value(shape_of(named.get("schema", True)), description=words)
    return None


def _arguments_of(function: dict[str, Any]) -> Value:
    return Value(_parameters(function), function["name"], function.get("description") or "")


def _tool_spec(function: dict[str, Any]) -> ToolSpec:
    shape = _parameters(function)
    tool = {"name": function["name"], "input_schema": shape.input_schema}
    if words := function.get("description"):
        tool["description"] = words
    return ToolSpec(function["name"], shape, tool, bool(function.get("strict")))


def _parameters(function: dict[str, Any]) -> Shape:
    return shape_of(function.get("parameters") or {"type": "object", "properties": {}}, may_be_empty=True)


def _called(request: dict[str, Any]) -> list[str]:
    """Names of the functions that were called in earlier turns."""
    return [call["function"]["name"] for message in request["messages"] for call in message.get("tool_calls") or ()]


def _declared(called: list[str], functions: dict[str, Any]) -> OutputSpec:
    """Calls in the history need their tools named, also where none may be called now."""
    if not called:
        return OutputSpec()
    named = {name: functions.get(name, {"name": name}) for name in (*functions, *called)}
    declared = tuple(_tool_spec(function).tool for function in named.values())
    return OutputSpec(tools=declared, tool_choice={"type": "none"})
