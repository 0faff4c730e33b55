"""When an answer is streamed."""

from __future__ import annotations

from typing import Any

import pytest

from app.messages.output_spec import output_spec


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, True),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, False),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, False),
        ({"response_format": None}, True),
        ({"response_format": {"type": "text"}}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, False),
    ],
)
def test_json_is_not_told_before_it_is_checked(request_: dict[str, Any], expected: bool) -> None:
    """Prose is sent as it comes, what is held against a schema is not."""
    assert output_spec({"messages": [], **request_}).can_stream is expected
