"""The client's functions as Claude's tools: names, ids, inputs. Nothing is ever run.

The CLI knows a caller's function by the name `mcp__client__NAME`, and some providers take 64 characters at most. Names
that get too long are shortened the same way each time, since a conversation's history has to use them too.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from app import errors
from workers.claude import TOOL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.translate.schema import Shape

#: what all of Claude's providers take
MAX_NAME = 64
_DIGEST = 8
_ID = re.compile(r"[a-zA-Z0-9_-]+")


def short_name(name: str) -> str:
    """The name that the CLI is told, without its prefix."""
    longest = MAX_NAME - len(TOOL_PREFIX)
    if len(name) <= longest:
        return name
    return f"{name[: longest - _DIGEST - 1]}_{hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]}"


def tool_name(name: str) -> str:
    """The name by which the model knows the function."""
    return TOOL_PREFIX + short_name(name)


def call_id(sent: str) -> str:
    """A tool call's id as Claude takes it. Its own pass as they are; other models' may have other characters."""
    if _ID.fullmatch(sent):
        return sent
    return f"toolu_{hashlib.sha256(sent.encode()).hexdigest()[:24]}"


def tool(function: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The function as a tool of the Messages API."""
    found = {"name": tool_name(function["name"]), "input_schema": shape.input_schema}
    return found | ({"description": function["description"]} if function.get("description") else {})


def launch_names(names: Iterable[str]) -> str:
    """`Profile.tools` for functions of these names: their descriptions and inputs are told with each request."""
    empty = {"type": "object", "properties": {}}
    tools = [{"name": short_name(name), "description": "", "input_schema": empty} for name in sorted(set(names))]
    return json.dumps(tools, separators=(",", ":"))


def tool_use(call: dict[str, Any]) -> dict[str, Any]:
    """An earlier call as the block that the model once gave. Raises `ErrorReply` (400)."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError as error:
        raise _not_arguments(call["id"], f"are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise _not_arguments(call["id"], "are no JSON object")
    return {"type": "tool_use", "id": call_id(call["id"]), "name": tool_name(function["name"]), "input": arguments}


def _not_arguments(of: str, reason: str) -> errors.ErrorReply:
    return errors.invalid_request(f"The arguments of tool call '{of}' {reason}.", param="messages")
