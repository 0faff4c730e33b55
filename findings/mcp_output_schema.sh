#!/usr/bin/env bash
# mcp 2.3.0, Python 3.11: a tool whose answer does not fit the schema that its own server made.
#
# `MCPServer` makes a tool's output schema from the return type of its function, and sends what the function returns as
# `structuredContent`. A client checks the one against the other.
#
# Expected: whatever the function returns by its type annotation fits, since both come from one pydantic model.
#
# Seen: schema and value are made by different rules. The server reports success, and the package's own client raises
# RuntimeError ("Invalid structured content"), each time:
# - a model with a `serialization_alias`: the schema requires the field's name, the value has the alias;
# - a model with a `validation_alias`: the schema requires the alias, the value has the name;
# - a float that is NaN or infinite: the schema says number, the value is null.
# A field with a plain `alias` fits. What works: `alias`, float | None, or `structured_output=False`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0 pydantic==2.14.3 2>/dev/null
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import asyncio

from mcp import Client
from mcp.server import MCPServer
from pydantic import BaseModel, Field

server = MCPServer("figures")


class Plain(BaseModel):
    user_id: int = Field(alias="userId")


class Written(BaseModel):
    user_id: int = Field(serialization_alias="userId")


class Read(BaseModel):
    user_id: int = Field(validation_alias="userId")


@server.tool()
def plain() -> Plain:
    return Plain(userId=7)


@server.tool()
def written() -> Written:
    return Written(user_id=7)


@server.tool()
def read() -> Read:
    return Read(userId=7)


@server.tool()
def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else float("nan")


@server.tool()
def mean_or_none(numbers: list[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else float("nan")


@server.tool(structured_output=False)
def written_as_text() -> Written:
    return Written(user_id=7)


async def main():
    async with Client(server) as client:
        required = {tool.name: (tool.output_schema or {}).get("required") for tool in (await client.list_tools()).tools}

        async def call(name, **arguments):
            try:
                found = (await client.call_tool(name, arguments)).structured_content
            except RuntimeError as error:
                found = str(error).splitlines()[0]
            sent = (await server.call_tool(name, arguments)).structured_content
            print(f"{name}: the schema requires {required[name]}, the function gave {sent}, the client says {found}")
            return sent, found

        assert await call("plain") == ({"userId": 7}, {"userId": 7})
        assert await call("mean", numbers=[1, 2]) == ({"result": 1.5}, {"result": 1.5})
        _, found = await call("mean_or_none", numbers=[])
        assert found == {"result": None}
        assert await call("written_as_text") == (None, None)
        refused = "Invalid structured content returned by tool {}: {}"
        sent, found = await call("written")
        assert sent == {"userId": 7} and found == refused.format("written", "'user_id' is a required property")
        sent, found = await call("read")
        assert sent == {"user_id": 7} and found == refused.format("read", "'userId' is a required property")
        _, found = await call("mean", numbers=[])
        assert found == refused.format("mean", "None is not of type 'number'")


asyncio.run(asyncio.wait_for(main(), 120))
print("as described")
PYTHON
