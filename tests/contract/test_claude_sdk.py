"""What we lean on in the Claude Agent SDK and its CLI. A failure here names the behaviour that a new release changed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import pytest

from workers.claude import cli
from workers.claude.environment import SWITCHES, Surroundings
from workers.claude.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from simulator.process import RunningSimulator

T = TypeVar("T")
MODEL = "claude-sonnet-4-5"


class Claude:
    """A bare client of the CLI, with a key or a subscription's token, and what it said in a turn."""

    def __init__(self, base_url: str, folder: Path, profile: Profile, **keywords: Any) -> None:
        self.runner = asyncio.Runner()
        is_bare = keywords.get("is_bare", True)
        variables = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "CLAUDE_CONFIG_DIR": str(folder),
            "ANTHROPIC_BASE_URL": base_url,
            **(keywords.get("login") or {"ANTHROPIC_API_KEY": "k"}),
            **SWITCHES,
            **keywords.get("variables", {}),
        }
        self.stderr: list[str] = []
        self.events: list[tuple[dict[str, Any], str | None]] = []
        self.on_event: Callable[[dict[str, Any]], Any] = lambda _: None
        self.client = cli.ClaudeClient(
            profile,
            Surroundings(variables, is_bare),
            program=cli.bundled_cli(),
            cwd=folder,
            on_stderr=self.stderr.append,
            on_stream=self._on_stream,
            on_bytes=lambda _: None,
            on_end=lambda: None,
        )
        self.said = self.run(self.client.connect())
        self.messages = self.client.messages()
        self.uuid = ""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on this client's loop, bounded."""
        return self.runner.run(_bounded(work))

    def turn(self, text: str) -> list[Any]:
        """Everything said from a user message to its result, which is the last."""
        self.uuid = str(uuid4())
        self.events.clear()

        async def turn() -> list[Any]:
            await self.client.send(text, self.uuid)
            found: list[Any] = []
            while True:
                found.append(await anext(self.messages))
                if isinstance(found[-1], cli.ResultMessage):
                    return found

        return self.run(turn())

    def _on_stream(self, event: dict[str, Any], uuid: str | None) -> None:
        self.events.append((event, uuid))
        self.on_event(event)

    def rewind(self, uuid: str | None = None) -> dict[str, Any]:
        """The CLI's answer to the control request."""
        return self.run(self.client.rewind(uuid or self.uuid, 3.0))

    def close(self) -> None:
        """End it."""
        with suppress(Exception):
            self.run(self.client.disconnect())
        self.runner.close()


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.wait_for(work, 30)


@pytest.fixture(scope="module")
def claude(_simulator_for_session: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claude]:
    """One process with a key, for tests that rewind what they said."""
    found = Claude(_simulator_for_session.base_url, tmp_path_factory.mktemp("claude"), Profile(model=MODEL))
    yield found
    found.close()


@pytest.fixture
def start(simulator: RunningSimulator, tmp_path: Path) -> Iterator[Callable[..., Claude]]:
    made: list[Claude] = []

    def build(profile: Profile | None = None, **keywords: Any) -> Claude:
        made.append(Claude(simulator.base_url, tmp_path, profile or Profile(model=MODEL), **keywords))
        return made[-1]

    yield build
    for one in made:
        one.close()


def bodies(simulator: RunningSimulator) -> list[dict[str, Any]]:
    return [r["body"] for r in simulator.control.requests() if r["path"].startswith("/v1/messages")]


def of_type(messages: list[Any], kind: Any) -> list[Any]:
    return [m for m in messages if isinstance(m, kind)]


def test_the_process_tells_its_pid_and_version(claude: Claude) -> None:
    """Both come with the answer to `initialize`."""
    assert isinstance(claude.said.get("pid"), int), "initialize no longer tells the pid"
    assert claude.said.get("claude_code_version"), "initialize no longer tells the CLI's version"


@pytest.mark.parametrize(
    "respond",
    [{}, {"error": {"status": 529}}, {"error": {"status": 400}}, {"text": "x " * 20, "break_after_deltas": 1}],
)
def test_rewind_leaves_nothing(claude: Claude, simulator: RunningSimulator, respond: dict[str, Any]) -> None:
    """After an answer and after errors alike, and it says so."""
    simulator.control.add_rule(respond, match={"contains": "PLANTED"})
    claude.turn("PLANTED")
    said = claude.rewind()
    assert said["rewound"] is True, "rewind_conversation no longer confirms"
    assert said["targetMessageUuid"] == claude.uuid, "rewind_conversation no longer names its target"
    assert "precedingAssistantUuid" in said, "rewind_conversation no longer tells what precedes"
    assert said["precedingAssistantUuid"] is None
    claude.turn("next")
    claude.rewind()
    (message,) = bodies(simulator)[-1]["messages"]
    assert [b["text"] for b in message["content"]] == ["next"], "rewind_conversation leaves something behind"


def test_rewind_tells_of_what_it_left(claude: Claude, simulator: RunningSimulator) -> None:
    """A target that something precedes is told from one that nothing does; an unknown one is refused."""
    claude.turn("first")
    first = claude.uuid
    claude.turn("second")
    said = claude.rewind()
    assert said["precedingAssistantUuid"] is not None, "a conversation that is not empty looks empty"
    claude.rewind(first)
    with suppress(Exception):
        assert claude.rewind(str(uuid4())).get("rewound") is not True, "an unknown message was 'rewound'"


def test_rewind_works_after_an_interrupt(claude: Claude, simulator: RunningSimulator) -> None:
    """The interrupted turn ends with a result of its own and can be wiped."""
    simulator.control.add_rule({"text": "x " * 20, "hang_after_deltas": 2, "hang_seconds": 20}, times=1)
    interrupting: list[asyncio.Task[None]] = []

    def interrupt(event: dict[str, Any]) -> None:
        if event["type"] == "content_block_delta" and not interrupting:
            interrupting.append(asyncio.ensure_future(claude.client.interrupt()))

    claude.on_event = interrupt
    result = claude.turn("PLANTED")[-1]
    claude.on_event = lambda _: None
    assert result.subtype == "error_during_execution", "an interrupted turn ends otherwise now"
    assert result.user_message_uuid in (None, claude.uuid)
    assert claude.rewind()["rewound"] is True
    claude.turn("next")
    claude.rewind()
    assert "PLANTED" not in str(bodies(simulator)[-1])


def test_messages_name_the_turn_they_belong_to(claude: Claude) -> None:
    """Results always do, so that a stray one is recognized."""
    messages = claude.turn("hello")
    claude.rewind()
    assert messages[-1].user_message_uuid == claude.uuid, "results no longer name their user message"
    for message in of_type(messages, cli.AssistantMessage):
        assert message.user_message_uuid == claude.uuid


def test_stream_events_are_the_apis(claude: Claude) -> None:
    """Deltas, usage and stop reason arrive as the Messages API's own events."""
    claude.turn("hello")
    claude.rewind()
    events = [event for event, _ in claude.events]
    assert {uuid for _, uuid in claude.events} <= {None, claude.uuid}, "events name another user message"
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert {"content_block_start", "content_block_delta", "message_delta"} <= set(kinds)
    (end,) = (event for event in events if event["type"] == "message_delta")
    assert end["delta"]["stop_reason"] == "end_turn"
    assert "output_tokens" in end["usage"]


def test_cost_counts_up(claude: Claude, simulator: RunningSimulator) -> None:
    """`total_cost_usd` is the process', not the turn's."""
    simulator.control.add_rule({"usage": {"input_tokens": 1000, "output_tokens": 100}})
    costs = []
    for _ in range(3):
        costs.append(claude.turn("hello")[-1].total_cost_usd)
        claude.rewind()
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0]), "total_cost_usd no longer counts up"
    assert costs[1] > costs[0]


@pytest.mark.parametrize(("model", "basis"), [(MODEL, "list"), ("claude-other-9", "unknown")])
def test_it_says_which_prices_it_invents(start: Callable[..., Claude], model: str, basis: str) -> None:
    """Why some costs are not passed on."""
    usage = start(Profile(model=model)).turn("hello")[-1].model_usage
    assert [one.get("costBasis") for one in usage.values()] == [basis], (
        "model_usage no longer tells what a cost is made of"
    )


def test_a_prompt_that_is_typed_is_read(claude: Claude, simulator: RunningSimulator) -> None:
    """Why everything goes by the body. Should this fail, the CLI sends what it is given, and prompts could be handed to it again."""
    result = claude.turn(" ")[-1]
    claude.rewind()
    assert (result.subtype, bodies(simulator)) == ("success", [])


def test_a_setting_is_heeded_by_the_next_turn(claude: Claude, simulator: RunningSimulator) -> None:
    """Each confirmed body is that of the turn that follows, however quickly."""
    for number in range(30):
        said = [{"role": "user", "content": f"number {number}"}]
        claude.run(claude.client.set_body(json.dumps({"messages": said}), 3.0))
        claude.turn("stand-in")
        claude.rewind()
    claude.run(claude.client.set_body("{}", 3.0))
    assert [body["messages"][0]["content"] for body in bodies(simulator)] == [f"number {n}" for n in range(30)]


@pytest.mark.parametrize(
    ("respond", "status", "error"),
    [
        ({"error": {"status": 401}}, 401, "authentication_failed"),
        ({"error": {"status": 404}}, 404, "model_not_found"),
        ({"error": {"status": 429}}, 429, "rate_limit"),
        ({"error": {"status": 500}}, 500, "server_error"),
        ({"error": {"status": 529}}, 529, "server_error"),
        ({"text": "x " * 20, "break_after_deltas": 1}, None, "server_error"),
        ({"error": {"status": 400, "message": "Your credit balance is too low"}}, 400, "billing_error"),
    ],
)
def test_api_errors_come_as_results_with_a_status(
    claude: Claude, simulator: RunningSimulator, respond: dict[str, Any], status: int | None, error: str
) -> None:
    """`is_error`, `api_error_status` and the synthetic message's `error` tell them; none is tried again by itself."""
    simulator.control.add_rule(respond)
    messages = claude.turn("hello")
    claude.rewind()
    assert messages[-1].is_error is True
    assert messages[-1].api_error_status == status, "api_error_status changed"
    synthetic = [m for m in of_type(messages, cli.AssistantMessage) if m.model == "<synthetic>"]
    assert [m.error for m in synthetic] == [error], "the synthetic message's error changed"
    if status not in (400, 404):
        assert len(bodies(simulator)) == 1, "the CLI tries again by itself"


def test_max_tokens_is_continued_in_secret(claude: Claude, simulator: RunningSimulator) -> None:
    """Why a cut turn kills its process. Should this fail, the CLI has become honest, and the kill can go."""
    simulator.control.add_rule({"stop_reason": "max_tokens", "text": "word"})
    claude.turn("hello")
    claude.rewind()
    assert len(bodies(simulator)) > 1


def test_commands_are_text_when_composed_by_a_client(claude: Claude, simulator: RunningSimulator) -> None:
    """`client_composed` is what keeps a prompt verbatim."""
    claude.turn("/cost")
    claude.rewind()
    assert [b["text"] for b in bodies(simulator)[-1]["messages"][0]["content"]] == ["/cost"]


def test_initialize_takes_system_text_and_schema(start: Callable[..., Claude], simulator: RunningSimulator) -> None:
    """So neither has to go through the arguments."""
    one = start(Profile(model=MODEL, system="SYSTEM", schema='{"type": "object"}'))
    simulator.control.add_rule({"structured": {"a": 1}})
    messages = one.turn("hello")
    body = bodies(simulator)[-1]
    assert body["system"][-1]["text"] == "SYSTEM", "initialize no longer takes systemPrompt"
    assert [t["name"] for t in body["tools"]] == ["StructuredOutput"], "initialize no longer takes jsonSchema"
    assert messages[-1].structured_output == {"a": 1}


def test_a_refused_schema_shows_in_the_tools(start: Callable[..., Claude]) -> None:
    """The CLI drops it silently; `init` comes first and has no tool for it."""
    one = start(Profile(model=MODEL, schema='{"type": "object", "x-unknown": 1}'))
    (init,) = [m for m in of_type(one.turn("hello"), cli.SystemMessage) if m.subtype == "init"]
    assert init.data["tools"] == []


def test_extra_body_is_merged(start: Callable[..., Claude], simulator: RunningSimulator) -> None:
    """Parameters without a name in the SDK, and the system slot as a whole; anew for each turn."""
    one = start()
    for text in ("ONLY", "OTHER"):
        wanted = json.dumps({"top_p": 0.5, "system": [{"type": "text", "text": text}]})
        one.run(one.client.set_body(wanted, 3.0, headers=f"traceparent: {text}\ntracestate: a=1"))
        one.turn("hello")
        one.rewind()
        body, headers = bodies(simulator)[-1], simulator.control.requests()[-1]["headers"]
        assert headers["traceparent"] == text, "ANTHROPIC_CUSTOM_HEADERS no longer reaches the requests"
        assert headers["tracestate"] == "a=1"
        assert body["top_p"] == 0.5, "CLAUDE_CODE_EXTRA_BODY is no longer merged"
        assert body["system"] == [{"type": "text", "text": text}], "apply_flag_settings no longer reaches the requests"
    one.run(one.client.set_body("{}", 3.0))
    one.turn("hello")
    assert "top_p" not in bodies(simulator)[-1]
    assert "traceparent" not in simulator.control.requests()[-1]["headers"]
    assert "OTHER" not in str(bodies(simulator)[-1]), "apply_flag_settings leaves something behind"


def test_a_subscriptions_limit(start: Callable[..., Claude], simulator: RunningSimulator) -> None:
    """An event names window and reset, once while nothing changes; a plain 429's event names neither."""
    one = start(is_bare=False, login={"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"})
    rule = simulator.control.add_rule({"usage_limit": {"resets_at": int(time.time()) + 600}})
    (event,) = of_type(one.turn("hello"), cli.RateLimitEvent)
    assert event.rate_limit_info.status == "rejected"
    assert event.rate_limit_info.rate_limit_type == "five_hour"
    assert event.rate_limit_info.resets_at
    one.rewind()
    assert of_type(one.turn("hello"), cli.RateLimitEvent) == [], "an unchanged limit is told again"
    one.rewind()
    simulator.control.remove_rule(rule)
    simulator.control.add_rule({"error": {"status": 429}})
    (event,) = of_type(one.turn("hello"), cli.RateLimitEvent)
    info = event.rate_limit_info
    assert (info.resets_at, info.rate_limit_type) == (None, None), "a plain 429 looks like a usage limit"


def test_bare_takes_no_subscription(start: Callable[..., Claude], simulator: RunningSimulator) -> None:
    """Why a subscription runs without `--bare`. Should this fail, it can have it."""
    result = start(login={"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}).turn("hello")[-1]
    assert result.is_error is True
    assert bodies(simulator) == []


@pytest.mark.parametrize("keywords", [{}, {"is_bare": False, "login": {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}}])
def test_messages_and_tools_are_merged_too(
    start: Callable[..., Claude], simulator: RunningSimulator, keywords: dict[str, Any]
) -> None:
    """A conversation and its tools go into the request as they are, with any login, and leave nothing behind."""
    messages = [
        {"role": "user", "content": "question"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "mcp__client__f", "input": {"a": 1}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "two"}]},
    ]
    tools = [{"name": "mcp__client__f", "input_schema": {"type": "object", "properties": {"a": {"prefixItems": []}}}}]
    one = start(**keywords)
    one.run(one.client.set_body(json.dumps({"messages": messages, "tools": tools}), 3.0))
    one.turn("stand-in")
    one.rewind()
    body = bodies(simulator)[-1]
    assert body["messages"] == messages, "CLAUDE_CODE_EXTRA_BODY no longer replaces the messages"
    assert body["tools"] == tools, "CLAUDE_CODE_EXTRA_BODY no longer replaces the tools"
    one.run(one.client.set_body("{}", 3.0))
    one.turn("next")
    assert "question" not in str(bodies(simulator)[-1]), "a conversation stays behind"


def test_a_call_is_asked_about_before_the_answer_is_whole(
    start: Callable[..., Claude], simulator: RunningSimulator
) -> None:
    """Why the refusal of a call waits. The answer's other calls come all the same, and nothing is run."""
    calls = [{"name": name, "input": {"a": "word " * 10}} for name in ("f", "g")]
    simulator.control.add_rule({"tool_calls": calls}, tokens_per_second=40)
    functions = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in ("f", "g")]
    one = start(Profile(model=MODEL, tools=json.dumps(functions)))
    result = one.turn("hello")[-1]
    blocks = [e["content_block"] for e, _ in one.events if e["type"] == "content_block_start"]
    assert [b["name"] for b in blocks] == ["mcp__client__f", "mcp__client__g"]
    assert one.events[-1][0]["type"] == "message_stop", "the answer was broken off"
    assert result.subtype == "error_during_execution", "a refused call ends otherwise now"
    assert len(bodies(simulator)) == 1


def test_prose_in_place_of_a_value_is_asked_about_again(
    start: Callable[..., Claude], simulator: RunningSimulator
) -> None:
    """Why such a turn is cut. Should this fail, the CLI leaves the model alone, and the cut can go."""
    simulator.control.add_rule({"text": "prose"})
    start(Profile(model=MODEL, schema='{"type": "object"}')).turn("hello")
    assert len(bodies(simulator)) > 1


def test_a_killed_process_ends_its_messages(start: Callable[..., Claude]) -> None:
    """At once, so that nobody waits for a dead process."""
    one = start()
    os.kill(one.said["pid"], signal.SIGKILL)

    async def drain() -> None:
        async for _ in one.messages:
            pass

    with suppress(Exception):
        one.run(drain())
