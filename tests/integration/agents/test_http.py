"""`nightshift mcp --http`: who is let in, and as whom they ask."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from httpx2 import ASGITransport
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.responses import PlainTextResponse

from ops.agents import http
from ops.cli import main
from tests.integration.api.running import ROOT, RunningApi, api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.redis_server import RedisForTests

KEY = "a-key-of-these-tests"


@pytest.fixture(scope="module")
def locked(_redis_for_session: RedisForTests) -> Iterator[RunningApi]:
    """An API that wants a key."""
    with api(_redis_for_session.url, NIGHTSHIFT_API_KEYS=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def open_one(_redis_for_session: RedisForTests) -> Iterator[RunningApi]:
    with api(_redis_for_session.url) as running:
        yield running


def statuses(url: str, *sent: dict[str, str]) -> list[int]:
    """What the guard answers; 200 is what is behind it."""

    async def ask() -> list[int]:
        guard = http.Guard(PlainTextResponse("in"), url)
        async with httpx2.AsyncClient(transport=ASGITransport(guard), base_url="http://nightshift.example") as client:
            return [(await client.post(http.PATH, headers=headers)).status_code for headers in sent]

    return asyncio.run(ask())


def test_others_need_a_key(locked: RunningApi, open_one: RunningApi, capsys: pytest.CaptureFixture[str]) -> None:
    """One that Nightshift takes; a page of a browser is not let in with one. Where no key is asked for, nobody is."""
    good = {"Authorization": f"Bearer {KEY}"}
    headers: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer wrong"},
        good | {"Origin": "https://a.example"},
        good,
        good,
    )
    assert statuses(locked.url, *headers) == [401, 401, 403, 200, 200]
    assert statuses(open_one.url, good) == [403]
    assert statuses("http://127.0.0.1:9", good) == [503]
    assert main.main(["mcp", "--http", "--host", "0.0.0.0", "--port", "0", "--url", open_one.url]) == 1
    assert "takes requests without a key" in capsys.readouterr().err


@pytest.mark.usefixtures("redis_url")  # which is empty then
def test_each_caller_asks_with_its_own_key(locked: RunningApi) -> None:
    """The package's client over HTTP: with a key it sees what the key sees, without one nothing, whatever this process knows."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSHIFT_")} | {"NIGHTSHIFT_API_KEY": KEY}
    argv = [sys.executable, "-P", "-m", "ops.cli.main", "mcp", "--http", "--port", "0", "--url", locked.url]
    process = subprocess.Popen(argv, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found
        url = found[0]

        async def listed(headers: dict[str, str]) -> Any:
            async with (
                httpx2.AsyncClient(headers=headers) as sender,
                Client(streamable_http_client(url, http_client=sender)) as client,
            ):
                return await client.call_tool("batch_list", {})

        good = asyncio.run(listed({"Authorization": f"Bearer {KEY}"}))
        assert (good.is_error, good.content[0].text) == (False, "There is no batch.")
        nobody = asyncio.run(listed({}))
        assert nobody.is_error and "401" in nobody.content[0].text
        # A page whose name leads here: DNS rebinding.
        evil = {"Host": "evil.example", "Accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert httpx2.post(url, json=body, headers=evil).status_code == 421
        own = {"Origin": "https://evil.example", "Accept": evil["Accept"]}
        assert httpx2.post(url, json=body, headers=own).status_code == 403
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
