"""The SDK's way to the Claude process, changed where it shows too much, waits too long, or is too late."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from claude_agent_sdk import CLIConnectionError
from claude_agent_sdk._internal.transport.subprocess_cli import SubprocessCLITransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from claude_agent_sdk import ClaudeAgentOptions

#: How the SDK's answers to the process' own requests begin.
_ANSWER = '{"type": "control_response"'


class Transport(SubprocessCLITransport):
    """The SDK's subprocess, with some changes.

    System text and schema are sent in the `initialize` request: the SDK puts both into the arguments, where `ps` shows
    them to everybody and 128 KiB is the end. And the API's events are handed over here, where they arrive: when an
    answer is cut, milliseconds count (`Turn.is_cut`), and a long answer has thousands of them.

    What is read is counted; the SDK limits a line and nothing else. The end of the output is reported: the SDK waits for the
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
        """Kill it, and close the pipes: asyncio reports a process' end only when its pipes have ended.

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
