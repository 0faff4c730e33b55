"""`python -m bench.bare`: Claude by the SDK alone, with nothing of Nightshift, as a program that a benchmark steers.

Takes a JSON object a line and answers with one: `{"do": "turns", "count": n, "pause_ms": p, "by_body": b}`, `{"do": "loop", "seconds": s}`,
`{"do": "fresh", "count": n, "parallel": k}`. Ends when its input does.

The options are those of a careful user: the same switches as Nightshift's processes have, no more output than needed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage

from bench.sizes import PROMPT
from workers.claude.environment import SWITCHES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_RESET_SECONDS = 5.0


def options(directory: Path, *, is_bare: bool = True) -> ClaudeAgentOptions:
    """The same for warm and fresh processes. `is_bare` is for logins that allow it."""
    flags: dict[str, str | None] = {"no-session-persistence": None}
    if is_bare:
        flags["bare"] = None
    return ClaudeAgentOptions(
        model="sonnet",
        tools=[],
        setting_sources=[],
        strict_mcp_config=True,
        thinking={"type": "disabled"},
        env={**SWITCHES, "CLAUDE_CODE_DISABLE_THINKING": "1", "CLAUDE_CONFIG_DIR": str(directory / "config")},
        cwd=directory,
        extra_args=flags,
    )


class Warm:
    """One process, asked again and again, its conversation wiped after each turn."""

    def __init__(self, directory: Path, reset: str, *, is_bare: bool = True) -> None:
        self._client = ClaudeSDKClient(options(directory, is_bare=is_bare))
        self._wipe = self._clear if reset == "clear" else self._rewind
        self._uuid = ""
        self._number = 0

    async def connect(self) -> None:
        """Start the process."""
        await self._client.connect()

    async def disconnect(self) -> None:
        """End it."""
        await self._client.disconnect()

    async def turn(self, *, by_body: bool = False) -> float:
        """One prompt, one answer; milliseconds. The wipe that follows is not in it.

        `by_body`: the prompt is another one each time, and goes by the request's body, as Nightshift's do (docs/adr/0003).
        """
        started = time.perf_counter()
        if by_body:
            self._number += 1
            await self._set_body({"messages": [{"role": "user", "content": f"{PROMPT} {self._number}"}]})
        self._uuid = str(uuid4())
        await self._client.query(_user_message(self._uuid))
        await _answered(self._client)
        spent = 1000 * (time.perf_counter() - started)
        await self._wipe()
        return spent

    async def type_again(self) -> None:
        """From now on prompts are typed."""
        await self._set_body({})

    async def _set_body(self, body: dict[str, Any]) -> None:
        settings = {"env": {"CLAUDE_CODE_EXTRA_BODY": json.dumps(body)}}
        await self._request({"subtype": "apply_flag_settings", "settings": settings})

    async def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        query = cast("Any", self._client)._query  # noqa: SLF001 - the public client has no such requests
        said = await query._send_control_request(request, timeout=_RESET_SECONDS)  # noqa: SLF001 - as above
        return cast("dict[str, Any]", said)

    async def _clear(self) -> None:
        """The public way."""
        await self._client.query("/clear")
        async for _ in self._client.receive_response():
            pass

    async def _rewind(self) -> None:
        """Nightshift's way (docs/adr/0002)."""
        said = await self._request({"subtype": "rewind_conversation", "target_message_uuid": self._uuid})
        if said.get("rewound") is not True:
            raise RuntimeError(f"the conversation was not rewound: {said}")


async def fresh(directory: Path) -> tuple[float, float]:
    """A process for one request: milliseconds until its answer, and until it is gone."""
    started = time.perf_counter()
    client = ClaudeSDKClient(options(directory))
    await client.connect()
    await client.query(_user_message(str(uuid4())))
    await _answered(client)
    answered = time.perf_counter()
    await client.disconnect()
    return 1000 * (answered - started), 1000 * (time.perf_counter() - started)


async def _user_message(uuid: str) -> AsyncIterator[dict[str, Any]]:
    message = {"role": "user", "content": PROMPT}
    yield {"type": "user", "message": message, "parent_tool_use_id": None, "uuid": uuid, "client_composed": True}


async def _answered(client: ClaudeSDKClient) -> None:
    async for message in client.receive_response():
        if isinstance(message, ResultMessage) and message.is_error:
            raise RuntimeError(f"Claude answered with an error: {message.result}")


async def _fresh_turns(directory: Path, count: int, parallel: int) -> dict[str, Any]:
    places = asyncio.Semaphore(parallel)

    async def one(index: int) -> tuple[float, float]:
        # No two processes share a config dir: they would spoil it for each other.
        own = directory / f"fresh-{index % parallel}"
        async with places:
            own.mkdir(exist_ok=True)
            return await fresh(own)

    started = time.perf_counter()
    times = await asyncio.gather(*(one(index) for index in range(count)))
    seconds = time.perf_counter() - started
    return {"answer_ms": [t[0] for t in times], "whole_ms": [t[1] for t in times], "seconds": seconds}


async def _paced(warm: Warm, count: int, pause_ms: float, *, by_body: bool) -> list[float]:
    found = []
    for _ in range(count):
        await asyncio.sleep(pause_ms / 1000)
        found.append(await warm.turn(by_body=by_body))
    if by_body:
        await warm.type_again()
    return found


async def _loop(warm: Warm, seconds: float) -> dict[str, Any]:
    started = time.perf_counter()
    turns = 0
    while time.perf_counter() - started < seconds:
        await warm.turn()
        turns += 1
    return {"turns": turns, "seconds": time.perf_counter() - started}


async def _serve(directory: Path, reset: str | None) -> None:
    warm = Warm(directory, reset) if reset else None
    if warm:
        await warm.connect()
    _say({"ready": True})
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if order["do"] == "fresh":
                _say(await _fresh_turns(directory, order["count"], order["parallel"]))
            elif warm is None:
                raise RuntimeError("there is no warm process without --reset")
            elif order["do"] == "turns":
                by_body = order.get("by_body", False)
                _say({"ms": await _paced(warm, order["count"], order["pause_ms"], by_body=by_body)})
            else:
                _say(await _loop(warm, order["seconds"]))
    finally:
        if warm:
            await warm.disconnect()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare")
    parser.add_argument("--directory", type=Path, required=True, help="the processes' working directory")
    parser.add_argument(
        "--reset", choices=("clear", "rewind"), help="how a warm process is wiped; without: no warm process"
    )
    given = parser.parse_args()
    asyncio.run(_serve(given.directory, given.reset))


if __name__ == "__main__":
    main()
