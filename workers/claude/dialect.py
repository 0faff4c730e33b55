"""A Messages API request in the words of Claude's CLI: the profile that a process is launched with, and the prompt of a turn.

The CLI calls a caller's function `mcp__client__NAME`, and some providers take 64 characters at most. Names that get too
long are shortened the same way each time, since a conversation's history has to use them too. The value of a schema
comes by a tool of the CLI's own: the process is launched so that it takes any object, and the schema is sent with the
request. So one warm process serves every schema, and the CLI has none to send the model's answers back for unasked.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.messages.answer import CallDelta, Window
from app.messages.request import FIVE_MINUTES, ONE_HOUR
from workers.claude.profile import Profile, Prompt
from workers.claude.turn import SCHEMA_TOOL, TOOL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.messages.answer import Answer, Delta
    from app.messages.request import CachePlan, Json, MessagesRequest


#: what is paid for beyond the windows
_OVERAGE = "overage"


def windows_of(reported: Mapping[str, Any]) -> tuple[Window, ...]:
    """Those that the `rate_limit_info` of the CLI's event names: all in one field, one that warns in the event itself."""
    found: dict[str, Window] = {}
    for name, window in {reported.get("rateLimitType"): reported, **(reported.get("unifiedWindows") or {})}.items():
        with suppress(KeyError, TypeError, ValueError):
            found[name] = Window(str(name), float(window["utilization"]), float(window["resetsAt"]))
    return tuple(window for window in found.values() if window.name != _OVERAGE)


#: what all of Claude's providers take
MAX_NAME = 64
_DIGEST = 8
#: what the CLI holds the value against itself: any input of a tool
ANY_OBJECT = '{"type":"object"}'


@dataclass(frozen=True)
class CliRequest:
    """What the invoker is asked, and the way back to the client's names."""

    profile: Profile
    prompt: Prompt
    #: the client's names by the CLI's, without its prefix
    names: Mapping[str, str]

    def answer(self, answer: Answer) -> Answer:
        """The invoker's answer, with the client's names."""
        calls = tuple(replace(call, name=self.names.get(call.name, call.name)) for call in answer.tool_calls)
        return replace(answer, tool_calls=calls)

    def delta(self, piece: Delta) -> Delta:
        """A piece of it, with the client's names."""
        if isinstance(piece, CallDelta):
            return replace(piece, name=self.names.get(piece.name, piece.name))
        return piece


def to_cli(request: MessagesRequest) -> CliRequest:
    """The request as the invoker takes it."""
    output = request.output
    value_tool = output.value.tool_name if output.value is not None else None

    def named(name: str) -> str:
        return SCHEMA_TOOL if name == value_tool else TOOL_PREFIX + short_name(name)

    def spoken(block: Json) -> Json:
        return {**block, "name": named(block["name"])} if "name" in block else block

    messages = tuple({**message, "content": _each(spoken, message["content"])} for message in request.messages)
    fields: dict[str, Any] = {}
    if request.max_tokens is not None:
        fields["max_tokens"] = request.max_tokens
    fields |= request.sampling
    if request.stop_sequences:
        fields["stop_sequences"] = list(request.stop_sequences)
    if request.tools:
        fields["tools"] = [spoken(tool) for tool in request.tools]
    if request.tool_choice is not None:
        fields["tool_choice"] = spoken(request.tool_choice)
    content = messages[-1]["content"]
    thinking = request.thinking
    return CliRequest(
        Profile(
            model=request.model,
            system=request.system,
            effort=thinking.effort if thinking else None,
            thinking_tokens=thinking.tokens if thinking else None,
            schema=ANY_OBJECT if output.value is not None else None,
            tools=_launched(output.known) if output.known else None,
        ),
        Prompt(
            content=content if isinstance(content, str) else tuple(content),
            history=messages[:-1],
            fields=fields,
            cache=_for_five_minutes(request.cache),
        ),
        {short_name(name): name for name in output.functions},
    )


def _for_five_minutes(plan: CachePlan | None) -> CachePlan | None:
    """The CLI's own mark, on a subscription's system text, is for five minutes, and the API takes none for an hour after it."""
    return replace(plan, ttl=FIVE_MINUTES) if plan is not None and plan.ttl == ONE_HOUR else plan


def short_name(name: str) -> str:
    """The name that the CLI gets, without its prefix."""
    longest = MAX_NAME - len(TOOL_PREFIX)
    if len(name) <= longest:
        return name
    return f"{name[: longest - _DIGEST - 1]}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]}"


def _each(change: Any, content: str | Iterable[Json]) -> str | list[Json]:
    return content if isinstance(content, str) else [change(block) for block in content]


def _launched(names: Iterable[str]) -> str:
    """`Profile.tools` for functions of these names: their descriptions and inputs are sent with each request."""
    empty = {"type": "object", "properties": {}}
    tools = [{"name": short_name(name), "description": "", "input_schema": empty} for name in sorted(set(names))]
    return json.dumps(tools, separators=(",", ":"))
