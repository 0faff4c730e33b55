"""Which requests older workers would not run as they were meant."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.record import PAYLOAD_VERSION
from app.openai.accept import oldest_version

ASK = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
FILE = {"type": "file", "file": {"file_data": "data:,hello"}}


@pytest.mark.parametrize(
    ("request_", "version"),
    [
        ({"messages": [ASK]}, 1),
        ({"messages": [{"role": "system", "content": "s"}, ASK], "stop": "END"}, 1),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, 1),
        ({"messages": [{"role": "tool", "content": [{"type": "text", "text": "a"}]}, ASK], "stop": ["a", "b"]}, 1),
        ({"messages": [{"role": "tool", "content": [IMAGE]}, ASK]}, 3),
        ({"messages": [{"role": "user", "content": [FILE]}]}, 3),
        ({"messages": [{"role": "developer", "content": "s"}]}, 3),
        ({"messages": [ASK], "stop": "\n"}, 3),
        ({"messages": [ASK], "stop": ["END", " "]}, 3),
    ],
)
def test_a_worker_of_older_code_leaves_what_it_would_misread(request_: dict[str, Any], version: int) -> None:
    """All else it runs, so that nothing waits for the end of a restart."""
    assert oldest_version(request_) == version <= PAYLOAD_VERSION
