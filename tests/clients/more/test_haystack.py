"""Haystack's two generators, with the model that it names by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest

from tests.clients.models import Person

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

generators: Any = pytest.importorskip("haystack.components.generators.chat")


@pytest.fixture(params=["OpenAIChatGenerator", "OpenAIResponsesChatGenerator"])
def make(request: pytest.FixtureRequest, stack: Stack) -> Any:
    """Makes a generator; no model is named, so it asks for its own default."""
    from haystack.utils import Secret

    def made(**more: Any) -> Any:
        how = {"api_key": Secret.from_token("unused"), "api_base_url": f"{stack.url}/v1", "max_retries": 0}
        return getattr(generators, request.param)(**how, **more)

    return made


def ask(generator: Any, text: str) -> Any:
    """Its one reply."""
    from haystack.dataclasses import ChatMessage

    (reply,) = generator.run([ChatMessage.from_user(text)])["replies"]
    return reply


def test_its_default_model_answers(make: Any) -> None:
    """Nobody has said which model: the gateway knows the name that Haystack sends."""
    assert ask(make(), "hello").text == "Simulated answer to: hello"


def test_a_stream_comes_in_pieces(make: Any) -> None:
    """Its callback hears every piece."""
    heard: list[str] = []
    reply = ask(make(streaming_callback=lambda chunk: heard.append(chunk.content or "")), "hello")
    assert "".join(heard) == reply.text == "Simulated answer to: hello"


def test_a_function_is_called(make: Any) -> None:
    """By name and with arguments."""
    from haystack.tools import create_tool_from_function

    def weather(city: Annotated[str, "a city"]) -> str:
        """The weather in a city."""
        return city

    (call,) = ask(make(tools=[create_tool_from_function(weather)]), "[[call:weather]]").tool_calls
    assert call.tool_name == "weather"
    assert "city" in call.arguments


def test_a_schema_is_met(stack: Stack) -> None:
    """A pydantic model as `response_format` of the chat generator."""
    from haystack.utils import Secret

    generator = generators.OpenAIChatGenerator(
        api_key=Secret.from_token("unused"),
        api_base_url=f"{stack.url}/v1",
        generation_kwargs={"response_format": Person},
    )
    Person.model_validate_json(ask(generator, "Who?").text)
