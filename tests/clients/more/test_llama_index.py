"""LlamaIndex by chat completions and by responses. It knows OpenAI's model names only, and always sends a temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.models import Person
from tests.clients.more.words import weather

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

llms: Any = pytest.importorskip("llama_index.llms.openai")


@pytest.fixture(params=["OpenAI", "OpenAIResponses"])
def llm(request: pytest.FixtureRequest, stack: Stack) -> Any:
    """One of its two models."""
    return getattr(llms, request.param)(
        model="gpt-4o", api_base=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=60
    )


def test_text_and_a_stream(llm: Any) -> None:
    """Whole, and in pieces."""
    assert llm.complete("hello").text == "Simulated answer to: hello"
    pieces = [piece.delta or "" for piece in llm.stream_complete("hello")]
    assert "".join(pieces) == "Simulated answer to: hello"


def test_a_structured_model(llm: Any) -> None:
    """By a function that must be called."""
    assert isinstance(llm.as_structured_llm(Person).complete("Who?").raw, Person)


def test_a_function_is_called(llm: Any) -> None:
    """Its name comes back, and arguments that fit."""
    from llama_index.core.tools import FunctionTool

    answer = llm.chat_with_tools([FunctionTool.from_defaults(weather)], user_msg="[[call:weather]]")
    (call,) = llm.get_tool_calls_from_response(answer)
    assert call.tool_name == "weather"
    assert "city" in call.tool_kwargs
