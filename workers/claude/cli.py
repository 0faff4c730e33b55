"""The one module that imports the Claude Agent SDK: how a Claude process is launched, and what of it is spoken to.

It leans on three things that the SDK's public face lacks, each under a contract test (`tests/contract`): the subprocess
transport as a base class, control requests by name, and the `systemPrompt` and `jsonSchema` fields of `initialize`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import claude_agent_sdk
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    CLIConnectionError,
    CLIJSONDecodeError,
    Message,
    PermissionResultDeny,
    RateLimitEvent,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolPermissionContext,
)
from claude_agent_sdk._internal.transport.subprocess_cli import SubprocessCLITransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from claude_agent_sdk.types import ThinkingConfig

    from workers.claude.environment import Surroundings
    from workers.claude.profile import Profile

__all__ = [
    "AssistantMessage",
    "CLIJSONDecodeError",
    "ClaudeClient",
    "RateLimitEvent",
    "ResultMessage",
    "SystemMessage",
    "bundled_cli",
    "sdk_version",
    "text_of",
]

#: Longest line that is taken from the CLI, bytes: an answer comes as one.
MAX_LINE_BYTES = 64 * 1024 * 1024


def bundled_cli() -> Path:
    """The `claude` executable that came with the SDK."""
    return Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"


def sdk_version() -> str:
    """Version of the installed SDK."""
    return claude_agent_sdk.__version__


def text_of(message: AssistantMessage) -> str:
    """The text of an assistant message."""
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


class ClaudeClient:
    """One Claude process behind the SDK's client: launch, messages in and out, control requests."""

    def __init__(
        self,
        profile: Profile,
        surroundings: Surroundings,
        *,
        program: Path,
        cwd: Path,
        on_stderr: Callable[[str], None],
        on_stream: Callable[[dict[str, Any], str | None], None],
        on_bytes: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        """`on_stream` gets the API's events, each with the user message it belongs to; `messages` has all the rest.

        `on_bytes` gets the length of all that is read; `on_end` is called when the process has closed its output.
        """
        options = _options(profile, surroundings, program=program, cwd=cwd, on_stderr=on_stderr)
        first_words: dict[str, Any] = {}
        if profile.system:
            first_words["systemPrompt"] = profile.system
        if profile.schema:
            first_words["jsonSchema"] = json.loads(profile.schema)
        self._on_stream = on_stream
        #: set while no message of the API is under way
        self._message_is_whole = asyncio.Event()
        if profile.tools:
            options = replace(
                options,
                mcp_servers={"client": _server(json.loads(profile.tools))},
                can_use_tool=self._refuse,
                permission_mode="default",
            )
            # The client adds this to its own copy, which a transport made by hand never sees.
            launched = replace(options, can_use_tool=None, permission_prompt_tool_name="stdio")
        else:
            launched = options
        self._transport = _Transport(launched, first_words, self._take_stream, on_bytes, on_end)
        self._client = ClaudeSDKClient(options, transport=self._transport)

    def _take_stream(self, event: dict[str, Any], uuid: str | None) -> None:
        if event["type"] == "message_start":
            self._message_is_whole.clear()
        elif event["type"] in ("message_stop", "error"):
            self._message_is_whole.set()
        self._on_stream(event, uuid)

    async def _refuse(
        self, _name: str, _input: dict[str, Any], _context: ToolPermissionContext
    ) -> PermissionResultDeny:
        """End the turn at the first call of a caller's function: the caller runs it, never this host.

        The CLI asks as soon as it has read that call, and an answer may have more of them: they are waited for.
        """
        await self._message_is_whole.wait()
        return PermissionResultDeny(message="The caller runs this function.", interrupt=True)

    async def connect(self) -> dict[str, Any]:
        """Start the process; return what it says of itself: `pid`, `claude_code_version`, ..."""
        await self._client.connect()
        return await self._client.get_server_info() or {}

    def messages(self) -> AsyncIterator[Message]:
        """Everything the process says, until it ends; raises the SDK's errors when it ends badly."""
        return self._client.receive_messages()

    async def send(self, content: str | list[Any], uuid: str) -> None:
        """Hand over a user message, to be delivered as it is."""
        message: dict[str, Any] = {
            "type": "user",
            "message": {"role": "user", "content": content},
            "parent_tool_use_id": None,
            "session_id": "default",
            "uuid": uuid,
            # Else the CLI reads the files that it names and runs the commands that it begins with.
            "client_composed": True,
        }

        async def one() -> AsyncIterator[dict[str, Any]]:
            yield message

        await self._client.query(one())

    async def rewind(self, uuid: str, timeout_seconds: float) -> dict[str, Any]:
        """Take the conversation back to before the user message `uuid`; return the CLI's word on it."""
        request = {"subtype": "rewind_conversation", "target_message_uuid": uuid}
        return await self._request(request, timeout_seconds)

    async def set_body(self, body: str, timeout_seconds: float, *, headers: str = "") -> None:
        """Have `body`, a JSON object, merged into every API request from now on, and these headers added, one a line.

        Raises when that is not confirmed.
        """
        settings = {"env": {"CLAUDE_CODE_EXTRA_BODY": body, "ANTHROPIC_CUSTOM_HEADERS": headers}}
        await self._request({"subtype": "apply_flag_settings", "settings": settings}, timeout_seconds)

    async def _request(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        query = cast("Any", self._client)._query  # noqa: SLF001 - the public client has no such requests
        said = await query._send_control_request(request, timeout=timeout_seconds)  # noqa: SLF001 - as above
        return cast("dict[str, Any]", said)

    async def interrupt(self) -> None:
        """Ask for the end of the running turn. May never return."""
        await self._client.interrupt()

    def abandon(self) -> None:
        """Kill the process and close its pipes; `messages` ends."""
        self._transport.abandon()

    async def disconnect(self) -> None:
        """End the process: first by closing its input, then by signals. Takes up to 20 s with one that resists."""
        await self._client.disconnect()


#: How the SDK's answers to the process' own requests begin.
_ANSWER = '{"type": "control_response"'


class _Transport(SubprocessCLITransport):
    """The SDK's subprocess, with some changes.

    System text and schema are told in the `initialize` request: the SDK puts both into the arguments, where `ps` shows
    them to everybody and 128 KiB is the end. And the API's events are handed over here, where they arrive: when an
    answer is cut, milliseconds count (`Turn.is_cut`), and a long answer has thousands of them.

    What is read is counted; the SDK limits a line and nothing else. The end of the output is told: the SDK waits for the
    end of a process that has closed it, for ever. An answer to a process that is gone is dropped: the SDK would leave
    the error to nobody.
    """

    def __init__(
        self,
        options: ClaudeAgentOptions,
        first_words: dict[str, Any],
        on_stream: Callable[[dict[str, Any], str | None], None],
        on_bytes: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(prompt=_no_prompt(), options=options)
        self._first_words: dict[str, Any] | None = first_words
        self._on_stream = on_stream
        self._on_bytes = on_bytes
        self._on_end = on_end

    def abandon(self) -> None:
        """Kill it, and close the pipes: asyncio tells of a process' end only when its pipes are at theirs.

        Closing asyncio's transport would do both, but asks for the process' status first: of one that has just died it
        takes it from the thread that waits for it, which complains, and makes up an exit code.
        """
        if self._process is None:
            return
        transport = cast("Any", self._process)._process._transport  # noqa: SLF001 - anyio's and asyncio's have no way to it
        for number in range(3):
            if pipe := transport.get_pipe_transport(number):
                pipe.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def write(self, data: str) -> None:
        """Write to the process; the first message gets the words that belong into it."""
        if self._first_words is not None:
            message = json.loads(data)
            message["request"].update(self._first_words)
            self._first_words = None
            data = json.dumps(message) + "\n"
        try:
            await super().write(data)
        except CLIConnectionError:
            if not data.startswith(_ANSWER):
                raise

    async def _counted(self, chunks: AsyncIterable[str]) -> AsyncIterator[str]:
        async for chunk in chunks:
            self._on_bytes(len(chunk))
            yield chunk
        self._on_end()

    async def _read_messages_impl(self) -> AsyncIterator[dict[str, Any]]:
        if self._stdout_stream is not None:
            self._stdout_stream = cast("Any", self._counted(self._stdout_stream))
        async for message in super()._read_messages_impl():
            if message.get("type") == "stream_event":
                self._on_stream(message["event"], message.get("user_message_uuid"))
            else:
                yield message


async def _no_prompt() -> AsyncIterator[dict[str, Any]]:
    """What the transport wants in its constructor and never reads."""
    nothing: tuple[dict[str, Any], ...] = ()
    for message in nothing:
        yield message


def _options(
    profile: Profile,
    surroundings: Surroundings,
    *,
    program: Path,
    cwd: Path,
    on_stderr: Callable[[str], None],
) -> ClaudeAgentOptions:
    flags: dict[str, str | None] = {"no-session-persistence": None}
    if surroundings.is_bare:
        flags["bare"] = None
    thinking: ThinkingConfig = {"type": "disabled"}
    if profile.thinking_tokens:
        thinking = {"type": "enabled", "budget_tokens": profile.thinking_tokens}
    return ClaudeAgentOptions(
        model=profile.model,
        tools=[],
        setting_sources=[],
        strict_mcp_config=True,
        thinking=thinking,
        effort=cast("Any", profile.effort),
        env=surroundings.variables,
        cwd=cwd,
        cli_path=program,
        extra_args=flags,
        include_partial_messages=True,
        max_buffer_size=MAX_LINE_BYTES,
        stderr=on_stderr,
    )


def _server(functions: list[dict[str, Any]]) -> Any:
    """An in-process MCP server that offers the caller's functions and does nothing."""

    async def never(_arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "The caller runs this function."}], "is_error": True}

    tools = [
        claude_agent_sdk.tool(f["name"], f.get("description") or "", f.get("input_schema") or {"type": "object"})(never)
        for f in functions
    ]
    return claude_agent_sdk.create_sdk_mcp_server("client", tools=tools)
