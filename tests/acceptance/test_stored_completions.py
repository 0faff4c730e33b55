"""Finished chat completions read again by OpenAI's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack


def test_retrieve_and_delete(stack: Stack) -> None:
    """A finished one is read again as it was, and is gone once it is deleted."""
    client: Any = stack.client(_strict_response_validation=True)
    made = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": "hello"}], store=True)
    assert client.chat.completions.retrieve(made.id).choices == made.choices
    assert client.chat.completions.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.delete(made.id)


def test_what_is_none(stack: Stack) -> None:
    """An id of nothing, of a response, or of a completion that failed is a 404."""
    client: Any = stack.client()
    response = client.responses.create(model="sonnet", input="hello")
    stack.simulator.add_rule({"error": {"status": 400, "message": "no"}})
    failed = stack.wait_for(stack.submit("fail"))
    for completion_id in ("chatcmpl-none", response.id, failed["id"]):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(completion_id)
