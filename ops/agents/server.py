"""The tools as a server of the Model Context Protocol, by stdin and stdout or by HTTP.

The package's low-level server is used: the other one ignores arguments that it does not know, takes "7" for a number, and puts
a text's copy beside it that some clients prefer.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.lowlevel import Server as Protocol
from mcp.server.stdio import stdio_server
from mcp_types import CallToolResult, ListToolsResult, TextContent, ToolAnnotations
from mcp_types import Tool as Listed
from pydantic import ValidationError

from app.batches.formats.json_file import FormatError
from app.settings import SettingsError
from ops.agents import asking, looking, submitting
from ops.agents.tool import MAX_ANSWER, Arguments, Desk, Refused, Tool
from ops.cli.batch.server import Server
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, PaginatedRequestParams
    from pydantic_core import ErrorDetails

log = logging.getLogger(__name__)

TOOLS: Sequence[Tool] = (*looking.TOOLS, *submitting.TOOLS, *asking.TOOLS)
_INSTRUCTIONS = (
    "Nightshift queues requests to Claude: single questions in the background, and batches of thousands of rows, often overnight."
    " Submit, go on with other work, and look again later. At a usage limit work waits and goes on by itself; `status` says why."
)
_READ_ONLY = " Only looking is allowed here: `nightshift mcp --allow-submit` would allow the rest."
#: callers of HTTP whose connections to Nightshift are kept
_MAX_CALLERS = 64


def make(desk_of: Callable[[ServerRequestContext[Any]], Desk], *, may_submit: bool) -> Protocol[Any]:
    """The server. `desk_of`: what the tools of a call work with; `may_submit`: with the tools that spend."""
    known = {tool.name: tool for tool in TOOLS}

    async def on_list(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(tool) for tool in TOOLS if may_submit or not tool.changes])

    async def on_call(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        tool = known.get(params.name)
        if tool is None:
            return _failed(f"There is no tool {params.name[:100]}. There are: {', '.join(known)}.")
        if tool.changes and not may_submit:
            return _failed(f"{tool.name} is not allowed: whoever runs `nightshift mcp` allows it by --allow-submit.")
        return await _call(tool, desk_of(context), params.arguments or {})

    return Protocol(
        "nightshift",
        title="Nightshift",
        version=version("claude-nightshift"),
        instructions=_INSTRUCTIONS + ("" if may_submit else _READ_ONLY),
        on_list_tools=on_list,
        on_call_tool=on_call,
    )


async def _call(tool: Tool, desk: Desk, sent: dict[str, Any]) -> CallToolResult:
    """Whatever happens is an answer: of what is raised agents are not told the reason."""
    try:
        arguments = tool.arguments.model_validate(sent)
    except ValidationError as error:
        faults = "; ".join(_fault(one, tool) for one in error.errors())
        return _failed(f"{tool.name}: {faults}")
    try:
        return CallToolResult(content=[TextContent(type="text", text=_cut(await tool.run(desk, arguments)))])
    except (Refused, SettingsError, StackError, FormatError) as error:
        return _failed(str(error))
    except Exception as error:
        log.exception("[MCP] %s failed", tool.name)
        return _failed(
            f"{tool.name} failed by a fault of Nightshift's ({type(error).__name__}); its log has the details."
        )


def _fault(found: ErrorDetails, tool: Tool) -> str:
    name = ".".join(map(str, found["loc"])) or tool.name
    if found["type"] == "extra_forbidden":
        return f"there is no argument '{name}'; it takes {', '.join(tool.arguments.model_fields)}"
    return f"{name}: {found['msg']}"


def _failed(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=_cut(message))], is_error=True)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ANSWER else f"{text[: MAX_ANSWER - 100]}\n[cut: {len(text):,} characters]"


def _listed(tool: Tool) -> Listed:
    return Listed(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=_schema(tool.arguments),
        annotations=ToolAnnotations(
            read_only_hint=not tool.changes,
            destructive_hint=tool.destroys,
            idempotent_hint=not tool.changes or tool.destroys,
            open_world_hint=False,
        ),
    )


def _schema(arguments: type[Arguments]) -> dict[str, Any]:
    """Without what is for readers of the code."""
    found = arguments.model_json_schema()
    return {name: value for name, value in found.items() if name not in ("title", "description")}


def desks(url: str | None, files: Path | None = None) -> Callable[[str | None], Desk]:
    """What there is for each key; None: this process's own."""

    @lru_cache(maxsize=_MAX_CALLERS)
    def of(key: str | None) -> Desk:
        return Desk(Server(url, key), files)

    return of


def by_stdio(url: str | None, files: Path | None, *, may_submit: bool) -> None:
    """Serve the one client at stdin, as whoever started this, until it leaves."""
    desk = desks(url, files)(None)
    protocol = make(lambda _: desk, may_submit=may_submit)

    async def serve() -> None:
        async with stdio_server() as (read, write):
            await protocol.run(read, write, protocol.create_initialization_options())

    anyio.run(serve)
