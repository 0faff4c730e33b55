"""Tools that only look: `status`, `batch_list`, `batch_status`, `batch_results`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ops.agents import files, words
from ops.agents.tool import Arguments, BatchId, Desk, Tool, waited
from ops.cli import status
from ops.cli.batch.server import FINAL, Server

_WIDTH = 400


class Status(Arguments):
    """Of `status`: none."""


class List(Arguments):
    """Of `batch_list`."""

    limit: Annotated[int, Field(ge=1, le=100, description="how many, newest first")] = 10


class OneBatch(Arguments):
    """Of `batch_status`."""

    batch_id: BatchId


class Results(Arguments):
    """Of `batch_results`."""

    batch_id: BatchId
    after: Annotated[int, Field(ge=0, description="results to leave out: where the last page ended")] = 0
    from_character: Annotated[int, Field(ge=0, description="of a result too long for a page: where to go on")] = 0
    errors: Annotated[bool, Field(description="the requests without an answer instead, and why")] = False
    save_as: Annotated[
        str | None,
        Field(
            description="write all results to this new file instead, answers and errors, a table in the format it was submitted"
            " in; relative to the directory that --files names"
        ),
    ] = None


async def _status(desk: Desk, _: Status) -> str:
    found = await waited(status.read, desk.server)
    return "\n".join(status.text(found, status.now_of(found), _WIDTH))


async def _list(desk: Desk, sent: List) -> str:
    found = await waited(desk.server.batches, sent.limit)
    return "\n".join(words.batch(one, desk.server, is_listed=True) for one in found) or "There is no batch."


async def _one(desk: Desk, sent: OneBatch) -> str:
    def read() -> str:
        return words.batch(desk.server.batch(sent.batch_id), desk.server)

    return str(await waited(read))


async def _results(desk: Desk, sent: Results) -> str:
    if sent.save_as is not None:
        return str(await waited(files.save, desk, sent.batch_id, sent.save_as))
    return str(await waited(_page, desk.server, sent))


def _page(server: Server, sent: Results) -> str:
    batch = server.batch(sent.batch_id)
    shown, number, character = words.page(
        server.output(sent.batch_id, errors=sent.errors), sent.after, sent.from_character
    )
    return "\n".join([*shown, *_after(batch, sent, number, character, is_empty=not shown)])


def _after(batch: dict[str, Any], sent: Results, number: int, character: int, *, is_empty: bool) -> list[str]:
    """What is behind the page."""
    if number >= 0:
        more = f", from_character={character}" if character else ""
        kind = ", errors=true" if sent.errors else ""
        return [f'[More: batch_results(batch_id="{sent.batch_id}", after={number}{more}{kind})]']
    failed = batch["request_counts"]["failed"] + batch["nightshift"]["unrun"]
    said = []
    if is_empty:
        said.append("[None here.]" if sent.after else "[None.]")
    if batch["status"] not in FINAL:
        said.append(f"[{batch['status']}: these are the results so far.]")
    elif failed and not sent.errors:
        said.append(f"[{failed:,} requests have no answer: errors=true says why.]")
    return said or ["[These are all.]"]


TOOLS = (
    Tool(
        "status",
        "How Nightshift is doing",
        "Whether Nightshift serves, and if it waits: why and until when. Workers, queue, usage limits, budgets, each batch with"
        " its progress, the latest failures.",
        Status,
        _status,
    ),
    Tool("batch_list", "List batches", "The newest batches, one line each.", List, _list),
    Tool(
        "batch_status",
        "How a batch is doing",
        "How a batch is doing: progress, cost, why it waits and until when, the forecast if its first requests were tried,"
        " the faults of its file if it failed.",
        OneBatch,
        _one,
    ),
    Tool(
        "batch_results",
        "Read a batch's results",
        'Results of a batch, also while it runs: a JSON object a line, {"id", "answer"}, in the order in which they ended. A page'
        " ends with the call that gives the next one. For more than some hundred rows use save_as, if a directory was allowed.",
        Results,
        _results,
    ),
)
