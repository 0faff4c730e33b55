"""What became of a request, by whichever endpoint it was asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nightshift_client.results import outcomes

REFUSED = {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"choices": [{"message": {"content": "A"}}]}, ("A", None)),
        ({"choices": [{"message": {"content": DEEP}}]}, (DEEP, None)),
        ({"choices": [{"text": "A"}]}, ("A", None)),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "A"}]}]}, ("A", None)),
        ({"output": [{"type": "function_call", "name": "f"}]}, ([{"type": "function_call", "name": "f"}], None)),
        (REFUSED, (None, "refused: No.")),
    ],
)
def test_an_outcome(body: dict[str, Any], outcome: Any) -> None:
    """An answer, or why there is none; what can't be read as JSON is text."""
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}
    assert outcomes(json.dumps(line).encode(), b"", as_json=True) == {"a": outcome}
