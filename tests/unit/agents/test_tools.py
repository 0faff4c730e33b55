from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import openpyxl
import pytest
from mcp import Client

from ops.agents import server, words
from ops.agents.files import inside
from ops.agents.tool import MAX_ANSWER, MAX_DESCRIPTION, PAGE, Desk, Refused
from ops.cli.batch.server import Server, ServerError

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_types import CallToolResult

BATCH = "batch_1"


class FakeServer:
    """A server with one batch, whose results are these."""

    url = "http://nowhere"

    def __init__(self, *results: bytes) -> None:
        self.results = results

    def batch(self, batch_id: str) -> dict[str, Any]:
        counts = {"completed": len(self.results), "failed": 0, "total": len(self.results)}
        return {"id": batch_id, "status": "completed", "request_counts": counts, "nightshift": {"unrun": 0}}

    def output(self, batch_id: str, *, errors: bool = False) -> tuple[bytes, ...]:
        return () if errors else self.results

    def batches(self, limit: int) -> list[Any]:
        raise ServerError("No answer from http://nowhere.")

    def job(self, job_id: str) -> dict[str, Any]:
        message = {"content": "é" * (PAGE + 5)}
        return {"id": job_id, "status": "completed", "result": {"choices": [{"message": message}]}}


def calls(*wanted: tuple[str, dict[str, Any]], fake: FakeServer, may_submit: bool = True) -> list[CallToolResult]:
    """What the tools answer, asked by the package's own client."""
    protocol = server.make(lambda _: Desk(cast("Server", fake)), may_submit=may_submit)

    async def ask() -> list[CallToolResult]:
        async with Client(protocol) as client:
            return [await client.call_tool(name, arguments) for name, arguments in wanted]

    return asyncio.run(asyncio.wait_for(ask(), 60))


def text(result: CallToolResult) -> str:
    """Its one text."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


def line(custom_id: str, answer: str) -> bytes:
    body = {"choices": [{"message": {"content": answer}}]}
    return json.dumps({"custom_id": custom_id, "error": None, "response": {"status_code": 200, "body": body}}).encode()


def test_each_tool_fits_what_clients_take() -> None:
    """Short descriptions, arguments that are named, and no copy of a text that some clients prefer to it."""

    async def listed(*, may_submit: bool) -> list[Any]:
        protocol = server.make(lambda _: Desk(cast("Server", FakeServer())), may_submit=may_submit)
        async with Client(protocol) as client:
            return list((await client.list_tools()).tools)

    tools = asyncio.run(listed(may_submit=True))
    assert {tool.name for tool in tools} == {tool.name for tool in server.TOOLS}
    for tool in tools:
        assert 0 < len(tool.description) < MAX_DESCRIPTION and "." not in tool.name
        assert tool.input_schema["additionalProperties"] is False and tool.output_schema is None
    looking = {tool.name for tool in asyncio.run(listed(may_submit=False))}
    assert looking == {"status", "batch_list", "batch_status", "batch_results", "answer"}


def test_what_is_wrong_is_an_answer() -> None:
    """No exception, which arrives without its reason: the reason itself, as an error."""
    found = calls(
        ("batch_list", {}),
        ("batch_list", {"limit": "7"}),
        ("batch_status", {"batch_id": "../keys"}),
        ("batch_status", {"batch_id": BATCH, "more": 1}),
        ("batch_submit", {"template": "{text}"}),
        ("batch_submit", {"file": "a.csv", "template": "{text}"}),
        ("nothing", {}),
        ("batch_status", {"batch_id": BATCH}),  # what it gets is no batch at all: a fault of ours
        fake=FakeServer(),
    )
    assert all(one.is_error and one.structured_content is None for one in found)
    reasons = [
        "No answer from",
        "limit: Input should be a valid integer",
        "batch_id: String should match",
        "there is no argument 'more'; it takes batch_id",
        "either rows or file",
        "--files DIR",
        "There is no tool nothing",
        "a fault of Nightshift's (KeyError)",
    ]
    assert [reason for reason, one in zip(reasons, found, strict=True) if reason not in text(one)] == []


def test_a_status_is_said_once() -> None:
    counts = {"completed": 8, "failed": 0, "total": 8}
    ours = {"unrun": 0, "cost_usd": 0.0004, "waiting_for": None}
    found = {
        "id": BATCH,
        "status": "completed",
        "request_counts": counts,
        "usage": {"total_tokens": 90},
        "nightshift": ours,
    }
    said = words.batch(found, cast("Server", FakeServer()), is_listed=True)
    assert said == "batch_1: completed, 8 of 8 requests done, 90 tokens, $0.00040"


def test_which_sheet_was_read_is_said(tmp_path: Path) -> None:
    """Where there are several: the agent has not seen them."""

    class Taking(FakeServer):
        def check_model(self, model: str) -> None:
            pass

        def upload(self, file: Any, name: str) -> str:
            return "file_1"

        def create(self, file_id: str, metadata: dict[str, str], window: str) -> dict[str, Any]:
            counts = {"completed": 0, "failed": 0, "total": 1}
            ours = {"unrun": 0, "cost_usd": None, "waiting_for": None, "tried": None}
            about = {"id": BATCH, "status": "in_progress", "request_counts": counts, "usage": {"total_tokens": 0}}
            return {**about, "errors": None, "nightshift": ours}

    book = openpyxl.Workbook()
    for title in ("Orders", "Reviews"):
        book.create_sheet(title).append(["text"])
        book[title].append(["a"])
    del book["Sheet"]
    book.save(tmp_path / "a.xlsx")
    protocol = server.make(lambda _: Desk(cast("Server", Taking()), tmp_path), may_submit=True)

    async def submitted() -> CallToolResult:
        async with Client(protocol) as client:
            sent = {"file": "a.xlsx", "template": "{text}", "again": True}
            return await client.call_tool("batch_submit", sent)

    said = text(asyncio.run(asyncio.wait_for(submitted(), 60)))
    assert said.startswith("a.xlsx has several sheets: 'Orders' is read.\nbatch_1: in_progress")


def test_what_spends_is_refused_unless_it_is_allowed() -> None:
    """Also to a client that calls what was not listed."""
    (refused,) = calls(("ask", {"prompt": "hi"}), fake=FakeServer(), may_submit=False)
    assert refused.is_error and "--allow-submit" in text(refused)


def test_results_come_in_pages() -> None:
    """Each as large as clients take; an answer that is larger comes in pieces, and nothing twice or never."""
    sizes = (10, PAGE - 200, 300, 2 * PAGE + 7, 20)
    fake = FakeServer(*(line(f"row-{number}", "x" * size) for number, size in enumerate(sizes)))
    seen, after, character, rounds = "", 0, 0, 0
    while True:
        (result,) = calls(
            ("batch_results", {"batch_id": BATCH, "after": after, "from_character": character}), fake=fake
        )
        *shown, last = text(result).split("\n")
        assert len(text(result)) < MAX_ANSWER
        seen += "".join(shown)
        rounds += 1
        if "More:" not in last:
            break
        found = dict(
            part.split("=") for part in last.partition("after=")[2].join(("after=", "")).rstrip(")]").split(", ")
        )
        after, character = int(found["after"]), int(found.get("from_character", 0))
    assert last == "[These are all.]" and rounds == 6
    assert seen == "".join(json.dumps(words.line(raw)) for raw in fake.results)


def test_a_long_answer_comes_in_pieces() -> None:
    first, second = calls(
        ("answer", {"id": "chatcmpl-1"}), ("answer", {"id": "chatcmpl-1", "from_character": PAGE}), fake=FakeServer()
    )
    assert f"from_character={PAGE}" in text(first) and text(second) == "é" * 5


@pytest.mark.parametrize("name", ["../outside.csv", "/etc/passwd", "link/outside.csv"])
def test_no_file_outside_may_be_named(tmp_path: Path, name: str) -> None:
    """Not by a link either."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    desk = Desk(cast("Server", FakeServer()), tmp_path / "in")
    assert inside(desk, "sub/a.csv") == tmp_path / "in" / "sub" / "a.csv"
    with pytest.raises(Refused, match="only files there"):
        inside(desk, name)
