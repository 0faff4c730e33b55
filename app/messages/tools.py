"""The client's functions as the Messages API's tools. Nothing is ever run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.messages.schema import Shape


def tool(function: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The function as a tool."""
    found = {"name": function["name"], "input_schema": shape.input_schema}
    return found | ({"description": function["description"]} if function.get("description") else {})
