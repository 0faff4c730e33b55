"""Requests for the simulator's pure modules."""

from collections.abc import Callable
from typing import Any

import pytest

from simulator.message_request import MessageRequest

MakeRequest = Callable[..., MessageRequest]


@pytest.fixture
def make_request() -> MakeRequest:
    """Return a function that makes a request of a prompt (or of messages) and of any body fields."""

    def make(
        prompt: Any = "hello",
        *,
        messages: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> MessageRequest:
        messages = messages or [{"role": "user", "content": prompt}]
        body = {"model": "claude-test", "max_tokens": 1000, "messages": messages, **fields}
        return MessageRequest(body, headers or {})

    return make
