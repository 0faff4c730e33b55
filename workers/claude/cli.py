"""What of the Claude Agent SDK is used, its `transport` apart: how a Claude process is launched, and what is spoken with it.

It relies on three things that are not in the SDK's public interface, each under a contract test (`tests/contract`): the subprocess
transport as a base class, control requests by name, and the `systemPrompt` and `jsonSchema` fields of `initialize`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import claude_agent_sdk
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    CLIJSONDecodeError,
    Message,
    PermissionResultDeny,
    RateLimitEvent,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolPermissionContext,
)

from workers.claude.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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
#: The Messages API's own, by its reference. The CLI would ask some models for `medium` where nobody says.
DEFAULT_EFFORT = "high"


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
        self._transport = Transport(launched, first_words, self._take_stream, on_bytes, on_end)
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

    async def set_model(self, model: str, system: str | None, timeout_seconds: float) -> None:
        """Ask this model from now on, given by its alias; with this text in the system slot where that is the CLI's own (None: it is not).

        Raises when that is not confirmed.
        """
        text = {} if system is None else {"system_prompt": system}
        await self._request({"subtype": "set_model", "model": model, **text}, timeout_seconds)

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
        effort=cast("Any", profile.effort or DEFAULT_EFFORT),
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
