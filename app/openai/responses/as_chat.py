"""A response request as the chat request that means the same, so that there is one way to Claude and one set of checks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.errors import ErrorReply


def chat_request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The chat request's JSON. `asked` is the request as it is kept: its `input` is the list of all items."""
    chat: dict[str, Any] = {"model": asked["model"], "messages": _messages(asked)}
    chat.update(
        {name: asked[name] for name in ("temperature", "top_p", "parallel_tool_calls", "metadata") if name in asked}
    )
    if asked.get("tools"):
        chat["tools"] = [_tool(tool) for tool in asked["tools"]]
    choice = asked.get("tool_choice")
    if choice is not None:
        chat["tool_choice"] = choice if isinstance(choice, str) else _choice(choice)
    if "max_output_tokens" in asked:
        chat["max_completion_tokens"] = asked["max_output_tokens"]
    if effort := (asked.get("reasoning") or {}).get("effort"):
        chat["reasoning_effort"] = effort
    if form := (asked.get("text") or {}).get("format"):
        chat["response_format"] = _format(form)
    return chat


def _format(form: Mapping[str, Any]) -> dict[str, Any]:
    if form["type"] != "json_schema":
        return {"type": form["type"]}
    return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name != "type"}}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    if choice["type"] == "function":
        return _tool(choice)
    allowed = {"mode": choice["mode"], "tools": [_tool(tool) for tool in choice["tools"]]}
    return {"type": "allowed_tools", "allowed_tools": allowed}


def _messages(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [{"role": "system", "content": asked["instructions"]}] if asked.get("instructions") else []
    return found + [_message(item) for item in asked["input"]]


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    if item["type"] == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        return {
            "role": "assistant",
            "tool_calls": [{"id": item["call_id"], "type": "function", "function": function}],
        }
    if item["type"] == "function_call_output":
        output = item["output"]
        content = output if isinstance(output, str) else [_part(part) for part in output]
        return {"role": "tool", "tool_call_id": item["call_id"], "content": content or ""}
    parts = [_part(part) for part in item["content"]]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return {"role": item["role"], "content": parts[0]["text"]}
    return {"role": item["role"], "content": parts}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "input_image":
            return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
        case "input_file":
            file = {name: part[name] for name in ("file_data", "filename") if name in part}
            return {"type": "file", "file": file}
        case "refusal":
            return {"type": "refusal", "refusal": part["refusal"]}
        case _:
            return {"type": "text", "text": part["text"]}


#: from the beginning of a chat request's parameter to that of a response's
_PARAMS = (
    (r"messages\b.*", "input"),
    (r"max_completion_tokens|max_tokens", "max_output_tokens"),
    (r"response_format\.json_schema|response_format", "text.format"),
    (r"reasoning_effort", "reasoning.effort"),
    (r"(tools\[\d+\])\.function", r"\1"),
    (r"tool_choice\.(?:function|allowed_tools)", "tool_choice"),
)


def in_its_words(error: ErrorReply, places: Places | None = None) -> ErrorReply:
    """An error about the chat request as one about the response request; with `places` items are named by their index."""
    param = spell(places.spell(error.param or "") if places is not None else error.param or "")
    return renamed(error, param) if param else error


def renamed(error: ErrorReply, param: str) -> ErrorReply:
    """The same error, of a parameter that is called so."""
    if param == error.param:
        return error
    return replace(error, param=param, message=error.message.replace(f"'{error.param}'", f"'{param}'"))


def spell(param: str) -> str:
    """A chat request's parameter as it is called in a response request."""
    for pattern, name in _PARAMS:
        if re.match(pattern, param):
            return re.sub(pattern, name, param, count=1)
    return param


_MESSAGE = re.compile(r"messages\[(\d+)\](.*)", re.DOTALL)
_ITEM = re.compile(r"input\[(\d+)\](.*)", re.DOTALL)
#: from a part of a chat message's parameter to that of an item's
_WITHIN = (
    (r"\.tool_calls\[\d+\]\.function\b", ""),
    (r"\.tool_calls\[\d+\]\.id|\.tool_call_id", ".call_id"),
    (r"\.tool_calls(\[\d+\])?", ""),
    (r"(\.content\[\d+\])\.image_url\.url", r"\1.image_url"),
    (r"(\.content\[\d+\])\.file\b", r"\1"),
)


@dataclass(frozen=True)
class Places:
    """Where in a response request each message of the chat request that is made of it was: for errors that name the place.

    The chat request has a message for the instructions, one for each item of earlier responses, and one for each item of this
    request, without those that are left out. So a message's index is not its item's.
    """

    #: the request as it is kept: its `input` is the whole conversation
    asked: Mapping[str, Any]
    #: for each of these items its index in the request's own `input`; None for those of earlier responses
    items: Sequence[int | None]

    def spell(self, param: str) -> str:
        """A chat request's `messages[3].content[1]...` as this request's `input[2].content[1]...`."""
        found = _MESSAGE.fullmatch(param)
        if found is None:
            return param
        index = int(found[1]) - bool(self.asked.get("instructions"))
        if index < 0:
            return "instructions"
        if index >= len(self.items):
            return "input"
        if (item := self.items[index]) is None:
            return "previous_response_id"
        rest = found[2]
        for pattern, name in _WITHIN:
            rest = re.sub(pattern, name, rest, count=1)
        if self.asked["input"][index]["type"] == "function_call_output":
            rest = rest.replace(".content", ".output", 1)
        return f"input[{item}]{rest}"


def as_sent(param: str, kept: Sequence[int]) -> str:
    """`input[1]...` among the items that were kept, as it was in the request before some were left out."""
    found = _ITEM.fullmatch(param)
    return f"input[{kept[int(found[1])]}]{found[2]}" if found is not None else param
