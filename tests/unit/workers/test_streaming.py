"""When an answer is told while it is written."""

from __future__ import annotations

from typing import Any

import pytest

from workers.streaming import is_tellable


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, True),
        ({"response_format": None}, True),
        ({"response_format": {"type": "text"}}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, False),
    ],
)
def test_json_is_not_told_before_it_is_checked(request_: dict[str, Any], expected: bool) -> None:
    """Prose is told as it comes, JSON that was asked for is not."""
    assert is_tellable(request_) is expected
