"""Clients that others wrote: how each gets structured data and calls functions, as its own documentation shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.models import Owner, Person, Weather
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.stack import Stack


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_langchain_structured(stack: Stack, method: Any) -> None:
    """`with_structured_output` by a forced function, by a schema, and by any JSON."""
    langchain = pytest.importorskip("langchain_openai")
    if method == "json_mode":
        stack.simulator.add_rule({"structured": {"value": {"name": "Ada", "addresses": []}}})
    model = langchain.ChatOpenAI(base_url=f"{stack.url}/v1", api_key="unused", model="sonnet", max_retries=0)
    found = model.with_structured_output(Person, method=method).invoke("Who? Answer in JSON.")
    assert isinstance(found, Person)


def test_langchain_functions(stack: Stack) -> None:
    """A call, its result, and the answer."""
    langchain = pytest.importorskip("langchain_openai")
    messages: Any = pytest.importorskip("langchain_core.messages")
    model = langchain.ChatOpenAI(base_url=f"{stack.url}/v1", api_key="unused", model="sonnet", max_retries=0)
    bound = model.bind_tools([weather])
    ask = messages.HumanMessage("[[call:weather]]")
    called = bound.invoke([ask])
    (call,) = called.tool_calls
    assert call["name"] == "weather"
    answer = bound.invoke([ask, called, messages.ToolMessage(weather(**call["args"]), tool_call_id=call["id"])])
    assert "sunny in" in answer.content
    assert answer.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("mode", ["ToolOutput", "NativeOutput", "PromptedOutput"])
def test_pydantic_ai(stack: Stack, mode: str) -> None:
    """Its three ways to structured data; two of them with a union told by a field."""
    ai = pytest.importorskip("pydantic_ai")
    agent = ai.Agent(
        _pydantic_ai_model(stack), output_type=getattr(ai, mode)(Person if mode == "PromptedOutput" else Owner)
    )
    if mode == "PromptedOutput":
        stack.simulator.add_rule({"structured": {"value": {"name": "Ada", "addresses": []}}}, match={"contains": "Who"})
        stack.simulator.add_rule({"json": {"name": "Ada", "addresses": []}})
    assert isinstance(agent.run_sync("Who?").output, Person | Owner)


def test_pydantic_ai_functions(stack: Stack) -> None:
    """It runs the function that the model called, and goes on with the result."""
    ai = pytest.importorskip("pydantic_ai")
    agent = ai.Agent(_pydantic_ai_model(stack), tools=[weather])
    assert "sunny in" in agent.run_sync("[[call:weather]]").output


def _pydantic_ai_model(stack: Stack) -> Any:
    models: Any = pytest.importorskip("pydantic_ai.models.openai")
    providers: Any = pytest.importorskip("pydantic_ai.providers.openai")
    provider = providers.OpenAIProvider(base_url=f"{stack.url}/v1", api_key="unused")
    return models.OpenAIChatModel("sonnet", provider=provider)


def test_litellm(stack: Stack) -> None:
    """A schema by `response_format`, a forced function, and a stream with its usage."""
    litellm = pytest.importorskip("litellm")
    how = {"model": "openai/sonnet", "api_base": f"{stack.url}/v1", "api_key": "unused", "num_retries": 0}
    ask = [{"role": "user", "content": "Who?"}]
    found = litellm.completion(**how, messages=ask, response_format=Person)
    Person.model_validate_json(found.choices[0].message.content)
    tool = {"type": "function", "function": {"name": "weather", "parameters": Weather.model_json_schema()}}
    found = litellm.completion(**how, messages=ask, tools=[tool], tool_choice="required")
    Weather.model_validate_json(found.choices[0].message.tool_calls[0].function.arguments)
    chunks = list(litellm.completion(**how, messages=ask, stream=True, stream_options={"include_usage": True}))
    assert "Simulated" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_litellm_batch(stack: Stack, tmp_path: Path) -> None:
    """A file, a batch of it, its end, and its output."""
    litellm = pytest.importorskip("litellm")
    how = {"custom_llm_provider": "openai", "api_base": f"{stack.url}/v1", "api_key": "unused"}
    body = {"model": "haiku", "messages": [{"role": "user", "content": "Who?"}]}
    line = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = tmp_path / "night.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with path.open("rb") as file:
        uploaded = litellm.create_file(file=file, purpose="batch", **how)
    made = litellm.create_batch(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"who": "me"},
        **how,
    )
    wait_until(lambda: litellm.retrieve_batch(batch_id=made.id, **how).status == "completed", "the batch")
    ended = litellm.retrieve_batch(batch_id=made.id, **how)
    output = json.loads(litellm.file_content(file_id=ended.output_file_id, **how).text)
    assert (output["custom_id"], output["response"]["status_code"]) == ("x", 200)
    assert made.id in [one.id for one in litellm.list_batches(**how).data]


def test_llm_command(stack: Stack, tmp_path: Path) -> None:
    """The `llm` command, with a model of ours in its list: a prompt, and a schema."""
    pytest.importorskip("llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f'- model_id: ours\n  model_name: sonnet\n  api_base: "{stack.url}/v1"\n  supports_schema: true\n'
    )
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "unused"}

    def llm(*arguments: str) -> str:
        argv = [sys.executable, "-m", "llm", "-m", "ours", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Simulated answer to: hello" in llm("hello")
    assert '"name"' in llm("--schema", "name, age int", "--no-stream", "Who?")
