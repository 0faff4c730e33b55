"""The client's functions as the Messages API's tools: ids, inputs, earlier calls. Nothing is ever run."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from app import errors

if TYPE_CHECKING:
    from app.messages.schema import Shape

_ID = re.compile(r"[a-zA-Z0-9_-]+")


def call_id(sent: str) -> str:
    """A tool call's id as Claude takes it. Its own pass as they are; other models' may have other characters."""
    if _ID.fullmatch(sent):
        return sent
    return f"toolu_{hashlib.sha256(sent.encode()).hexdigest()[:24]}"


def tool(function: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The function as a tool."""
    found = {"name": function["name"], "input_schema": shape.input_schema}
    return found | ({"description": function["description"]} if function.get("description") else {})


def tool_use(call: dict[str, Any]) -> dict[str, Any]:
    """An earlier call as the block that the model once gave. Raises `ErrorReply` (400)."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError as error:
        raise _not_arguments(call["id"], f"are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise _not_arguments(call["id"], "are no JSON object")
    return {"type": "tool_use", "id": call_id(call["id"]), "name": function["name"], "input": arguments}


def _not_arguments(of: str, reason: str) -> errors.ErrorReply:
    return errors.invalid_request(f"The arguments of tool call '{of}' {reason}.", param="messages")
