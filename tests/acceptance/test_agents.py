"""Agents work with a running Nightshift: by the package's client, and by Claude's own command line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import claude_agent_sdk
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.acceptance.stack import ROOT

if TYPE_CHECKING:
    from tests.acceptance.stack import Stack

CLAUDE = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
QUESTION = "Have my table read overnight."


def command(stack: Stack, *options: str) -> dict[str, Any]:
    """How a client starts it."""
    return {
        "command": sys.executable,
        "args": ["-P", "-m", "ops.cli.main", "mcp", "--url", stack.url, *options],
        "env": {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/")},
    }


def test_a_night_by_an_agent(stack: Stack, tmp_path: Path) -> None:
    """Try some rows, see why it waits, go on, read the answers and keep them; and ask something by the way."""
    rows = [{"id": f"{number}", "text": f"agent row {number}"} for number in range(6)]
    table = {"rows": rows, "template": "Kind? {text}", "id_column": "id", "model": "haiku", "try_first": 2}

    async def night() -> None:
        parameters = StdioServerParameters(**command(stack, "--allow-submit", "--files", str(tmp_path)))
        async with Client(stdio_client(parameters)) as client:

            async def call(name: str, **arguments: Any) -> str:
                result = await client.call_tool(name, arguments)
                (content,) = result.content
                assert content.type == "text"
                return f"refused: {content.text}" if result.is_error else content.text

            async def until(name: str, containing: str, **arguments: Any) -> str:
                for _ in range(600):
                    if containing in (found := await call(name, **arguments)):
                        return found
                    await asyncio.sleep(0.1)
                raise AssertionError(found)

            assert "SERVES" in await call("status")
            batch = (await call("batch_submit", **table)).split(":")[0]
            waits = await until("batch_status", "Why it waits", batch_id=batch)
            assert "2 of its requests were tried" in waits and "cost by cli" in waits and "batch_continue" in waits
            assert batch in await call("batch_submit", **table)  # not twice by mistake
            assert batch in await call("batch_list")
            assert "0 of 6" not in await call("batch_continue", batch_id=batch, max_cost=5)
            await until("batch_status", "completed, 6 of 6", batch_id=batch)
            page = (await call("batch_results", batch_id=batch, after=4)).splitlines()
            assert len(page) == 3 and json.loads(page[0])["answer"].startswith("Simulated answer to: Kind? agent row")
            assert "Written" in await call("batch_results", batch_id=batch, save_as="answers.csv")
            assert len((tmp_path / "answers.csv").read_text().splitlines()) == 7
            assert "there already" in await call("batch_results", batch_id=batch, save_as="answers.csv")

            question = (await call("ask", prompt="What is left?", model="haiku")).split()[0]
            assert await call("answer", id=question, wait_seconds=50) == "Simulated answer to: What is left?"
            assert "no column" in await call("batch_submit", rows=rows, template="Kind?")

    asyncio.run(asyncio.wait_for(night(), 240))


def test_claudes_command_line_is_such_an_agent(stack: Stack, tmp_path: Path) -> None:
    """It finds the tools, calls one, and the model reads what the tool said."""
    stack.simulator.add_rule(
        {"tool_calls": [{"name": "mcp__nightshift__status", "input": {}}]}, match={"contains": QUESTION}, times=1
    )
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"nightshift": command(stack)}}))
    options = ["--bare", "--strict-mcp-config", "--mcp-config", "mcp.json", "--model", "claude-sonnet-4-5"]
    done = subprocess.run(
        [str(CLAUDE), *options, "--allowedTools", "mcp__nightshift__status", "-p", QUESTION],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "CLAUDE_CONFIG_DIR": str(tmp_path),
            "ANTHROPIC_API_KEY": "offline",
            "ANTHROPIC_BASE_URL": stack.simulator.base_url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done
    asked = [body for body in stack.asked() if body.get("tools")]
    offered = {tool["name"] for tool in asked[0]["tools"]}
    assert {"mcp__nightshift__status", "mcp__nightshift__batch_results"} <= offered
    assert "mcp__nightshift__batch_submit" not in offered
    (result,) = asked[-1]["messages"][-1]["content"]
    assert result["type"] == "tool_result" and "SERVES" in json.dumps(result["content"])


def test_the_page_s_line_adds_it_to_claude(stack: Stack, tmp_path: Path) -> None:
    """As a user types it: the server that it adds is one that Claude's command line connects to."""
    (line,) = re.findall(r"    claude (mcp add .*)", (ROOT / "docs/agents.md").read_text())
    nightshift = f"{sys.executable} -P -m ops.cli.main"
    added = line.replace('"$PWD/.venv/bin/nightshift"', nightshift)
    done = subprocess.run(
        ["sh", "-c", f"{CLAUDE} {added} && {CLAUDE} mcp list"],
        cwd=tmp_path,
        env=command(stack)["env"]
        | {"CLAUDE_CONFIG_DIR": str(tmp_path), "HOME": str(tmp_path), "NIGHTSHIFT_URL": stack.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "nightshift" in done.stdout and "Connected" in done.stdout, done
