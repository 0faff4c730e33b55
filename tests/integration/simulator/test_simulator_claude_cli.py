"""The simulator as the real Claude CLI sees it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    RateLimitEvent,
    ResultMessage,
    StreamEvent,
    TextBlock,
)

from simulator.process import RunningSimulator

BARE: dict[str, str | None] = {"bare": None}


def ask(simulator: RunningSimulator, home: Path, prompt: str, *, bare: bool = True, **options: Any) -> list[Message]:
    """Return every message of one turn of a fresh CLI, up to and with its result."""
    env = {
        "ANTHROPIC_BASE_URL": simulator.base_url,
        "CLAUDE_CONFIG_DIR": str(home),
        "HOME": str(home),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        **({"ANTHROPIC_API_KEY": "test"} if bare else {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-test"}),
        **options.pop("env", {}),
    }
    settings = ClaudeAgentOptions(
        tools=[],
        setting_sources=[],
        model="claude-sonnet-4-5",
        env=env,
        cwd=home,
        extra_args=BARE if bare else {},
        **options,
    )

    async def turn() -> list[Message]:
        messages: list[Message] = []
        async with ClaudeSDKClient(settings) as client:
            await client.query(prompt)
            messages += [message async for message in client.receive_response()]
        return messages

    return asyncio.run(asyncio.wait_for(turn(), timeout=120))


def result_of(messages: list[Message]) -> ResultMessage:
    """Return a turn's result."""
    result = messages[-1]
    assert isinstance(result, ResultMessage)
    return result


def test_plain_answer(simulator: RunningSimulator, tmp_path: Path) -> None:
    """The CLI takes the default answer, thinking included, as a model's."""
    messages = ask(simulator, tmp_path, "good evening")
    blocks = [block for message in messages if isinstance(message, AssistantMessage) for block in message.content]
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    assert texts == ["Simulated answer to: good evening"]
    assert result_of(messages).stop_reason == "end_turn"
    models = {message.model for message in messages if isinstance(message, AssistantMessage)}
    assert models == {"simulated-claude-sonnet-4-5"}
    (logged,) = simulator.control.requests()
    assert logged["body"]["messages"][0]["content"][0]["text"] == "good evening"


def test_structured_output(simulator: RunningSimulator, tmp_path: Path) -> None:
    """The CLI accepts the structured answer that is made from its schema."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "pattern": "^[A-Z][a-z]{3}$"},
            "n": {"type": "integer", "minimum": 3},
        },
        "required": ["city", "n"],
        "additionalProperties": False,
    }
    messages = ask(simulator, tmp_path, "go", output_format={"type": "json_schema", "schema": schema})
    assert result_of(messages).structured_output == {"city": "Aaaa", "n": 3}


def test_structured_output_is_repaired(simulator: RunningSimulator, tmp_path: Path) -> None:
    """A wrong structured answer is sent back by the CLI, and the next one is taken."""
    simulator.control.add_rule({"structured": {"n": "no"}}, times=1)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    messages = ask(simulator, tmp_path, "go", output_format={"type": "json_schema", "schema": schema})
    assert result_of(messages).structured_output == {"n": 1}
    assert len(simulator.control.requests()) == 2


def test_usage_limit(simulator: RunningSimulator, tmp_path: Path) -> None:
    """With a subscription's token the CLI reports the limit and its reset before the failed result."""
    simulator.control.add_rule({"usage_limit": {"resets_at": 1_900_000_000}})
    messages = ask(simulator, tmp_path, "go", bare=False)
    (limit,) = (message.rate_limit_info for message in messages if isinstance(message, RateLimitEvent))
    assert (limit.status, limit.resets_at, limit.rate_limit_type) == ("rejected", 1_900_000_000, "five_hour")
    assert (result_of(messages).is_error, result_of(messages).api_error_status) == (True, 429)


@pytest.mark.parametrize("status", [400, 529])
def test_api_error(simulator: RunningSimulator, tmp_path: Path, status: int) -> None:
    """The CLI hands an error's status on."""
    simulator.control.add_rule({"error": {"status": status}})
    result = result_of(ask(simulator, tmp_path, "go"))
    assert (result.is_error, result.api_error_status) == (True, status)


def test_max_tokens(simulator: RunningSimulator, tmp_path: Path) -> None:
    """A token limit reaches the simulator, which cuts the answer there and says so in its message_delta."""
    simulator.control.add_rule({"text": "abcd" * 50})
    env = {"CLAUDE_CODE_EXTRA_BODY": json.dumps({"max_tokens": 5})}
    messages = ask(
        simulator,
        tmp_path,
        "go",
        env=env,
        include_partial_messages=True,
        thinking={"type": "disabled"},
    )
    events = [message.event for message in messages if isinstance(message, StreamEvent)]
    reasons = [event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta"]
    assert reasons[0] == "max_tokens"
    first = events[: next(i for i, event in enumerate(events) if event["type"] == "message_delta")]
    text = "".join(event["delta"]["text"] for event in first if event["type"] == "content_block_delta")
    assert text == "abcd" * 5
    assert simulator.control.requests()[0]["body"]["max_tokens"] == 5


@pytest.mark.parametrize("fault", [{"break_after_deltas": 2}, {"stream_error": {"after_deltas": 2}}])
def test_answer_that_breaks_off(simulator: RunningSimulator, tmp_path: Path, fault: dict[str, Any]) -> None:
    """An answer that does not reach its end fails the turn."""
    simulator.control.add_rule({"text": "x" * 400, **fault})
    result = result_of(ask(simulator, tmp_path, "go", env={"CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1"}))
    assert result.is_error
