"""The OpenAI Agents SDK, by its Responses model (its default) and by its chat model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.models import Person
from tests.clients.more.words import weather

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

agents: Any = pytest.importorskip("agents")
MODELS = ["OpenAIResponsesModel", "OpenAIChatCompletionsModel"]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, stack: Stack) -> Any:
    """One of its two ways to ask."""
    from openai import AsyncOpenAI

    agents.set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0)
    return getattr(agents, request.param)(model="sonnet", openai_client=client)


def test_a_function_is_run_and_the_conversation_goes_on(model: Any) -> None:
    """A call, its result, the answer, and a second turn on all of it."""
    agent = agents.Agent(name="A", instructions="Be brief.", model=model, tools=[agents.function_tool(weather)])
    first = agents.Runner.run_sync(agent, "[[call:weather]]")
    assert "sunny in" in first.final_output
    second = agents.Runner.run_sync(agent, [*first.to_input_list(), {"role": "user", "content": "And now?"}])
    assert second.final_output == "Simulated answer to: And now?"


def test_an_output_type_is_met(model: Any) -> None:
    """A pydantic model as the agent's output."""
    agent = agents.Agent(name="A", model=model, output_type=Person)
    assert isinstance(agents.Runner.run_sync(agent, "Who?").final_output, Person)


def test_an_agent_hands_over(model: Any) -> None:
    """A handoff is a call without arguments; the other agent answers."""
    other = agents.Agent(name="Other", model=model)
    agent = agents.Agent(name="A", model=model, handoffs=[other])
    done = agents.Runner.run_sync(agent, "[[call:transfer_to_other]]")
    assert done.last_agent.name == "Other"


def test_a_stream_has_the_whole_answer(model: Any) -> None:
    """Its events end with the text, and the usage is known."""
    agent = agents.Agent(name="A", model=model, model_settings=agents.ModelSettings(include_usage=True))

    async def run() -> Any:
        done = agents.Runner.run_streamed(agent, "hello")
        async for _ in done.stream_events():
            pass
        return done

    done = asyncio.run(run())
    assert done.final_output == "Simulated answer to: hello"
    assert done.context_wrapper.usage.output_tokens > 0
