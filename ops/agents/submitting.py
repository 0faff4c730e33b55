"""Tools that make batches and decide about them: `batch_submit`, `batch_continue`, `batch_cancel`."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from pydantic import Field

from app import json_text
from app.batches.formats.json_file import FormatError
from app.settings import SettingsError
from ops.agents import files, words
from ops.agents.tool import Arguments, BatchId, Desk, Refused, Tool, waited
from ops.cli.batch import server, source, submit, watch
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from ops.cli.batch.server import Server

#: until the server has looked at every line, or says why it can't
_VALIDATION_SECONDS = 30.0
_POLL_SECONDS = 0.3
_ROWS = "rows.jsonl"


class Submit(Arguments):
    """Of `batch_submit`."""

    rows: Annotated[
        list[dict[str, Any]] | None,
        Field(min_length=1, description='the table: an object a row, e.g. [{"id": "1", "text": "..."}]'),
    ] = None
    file: Annotated[
        str | None,
        Field(description="instead of rows: CSV, TSV, JSON(L) or text in the directory that --files names"),
    ] = None
    template: Annotated[
        str | None,
        Field(
            description="the prompt of each row, columns in braces: 'Is this review kind? {text}'. Without it the rows"
            " are OpenAI's batch requests (custom_id, method, url, body)"
        ),
    ] = None
    id_column: Annotated[str | None, Field(description="the column that names a row (default: its number)")] = None
    model: Annotated[str | None, Field(description="haiku (cheapest), sonnet (default for tables), opus")] = None
    system: Annotated[str | None, Field(description="the system prompt of each row")] = None
    answer_schema: Annotated[
        dict[str, Any] | None, Field(description="a JSON schema; each answer is then JSON that satisfies it")
    ] = None
    try_first: Annotated[
        int | None,
        Field(
            gt=0,
            le=1000,
            description="run only so many, chosen over the whole table; the rest waits for batch_continue",
        ),
    ] = None
    max_cost: Annotated[float | None, Field(gt=0, description="US dollars; the batch waits before it costs more")] = (
        None
    )
    max_tokens: Annotated[int | None, Field(gt=0, description="the same, in tokens read and written")] = None
    since: Annotated[
        BatchId | None, Field(description="an earlier batch: what it has answered is copied and not paid again")
    ] = None
    window: Annotated[str | None, Field(description="when its requests may start: '22:00-07:00 Europe/Berlin'")] = None
    again: Annotated[bool, Field(description="although the same was submitted within a day: it is paid for again")] = (
        False
    )


class Continue(Arguments):
    """Of `batch_continue`."""

    batch_id: BatchId
    max_cost: Annotated[float | None, Field(gt=0, description="what the whole batch may cost, US dollars")] = None
    max_tokens: Annotated[int | None, Field(gt=0, description="tokens that the whole of it may use")] = None


class Cancel(Arguments):
    """Of `batch_cancel`."""

    batch_id: BatchId


async def _submit(desk: Desk, sent: Submit) -> str:
    if (sent.rows is None) == (sent.file is None):
        raise Refused("Pass either rows or file.")
    batch, sheet = await waited(_made, desk, sent)
    until = time.monotonic() + _VALIDATION_SECONDS

    def look() -> dict[str, Any]:
        return desk.server.batch(batch["id"])

    while batch["status"] == "validating" and time.monotonic() < until and not watch.why(batch):
        await anyio.sleep(_POLL_SECONDS)
        batch = await waited(look)
    said = str(await waited(words.batch, batch, desk.server))
    return f"{sent.file} has several sheets: '{sheet}' is read.\n{said}" if sheet else said


def _made(desk: Desk, sent: Submit) -> tuple[dict[str, Any], str]:
    """The batch, and the name of the sheet that it is of where a workbook has several."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        path = files.inside(desk, sent.file) if sent.file is not None else _written(place, sent.rows or [])
        try:
            return _create(desk.server, path, _how(sent, place), sent)
        except (SettingsError, FormatError, StackError) as error:
            raise Refused(str(error).replace(f"{place}/", "")) from error


def _written(place: Path, rows: list[dict[str, Any]]) -> Path:
    path = place / _ROWS
    path.write_bytes(b"".join(json_text.line(row) for row in rows))
    return path


def _how(sent: Submit, place: Path) -> source.How:
    schema = None
    if sent.answer_schema is not None:
        schema = place / "answer.json"
        schema.write_text(json.dumps(sent.answer_schema), encoding="utf-8")
    return source.How(
        template=sent.template, system=sent.system, schema=schema, id_column=sent.id_column, model=sent.model
    )


def _create(api: Server, path: Path, how: source.How, sent: Submit) -> tuple[dict[str, Any], str]:
    given = {
        "try": sent.try_first,
        "max_cost": sent.max_cost,
        "max_tokens": sent.max_tokens,
        "since": sent.since,
        "batch_window": sent.window,
    }
    metadata = {name: str(value) for name, value in given.items() if value is not None}
    if model := how.model or (how.template and "sonnet"):
        api.check_model(model)
    with source.opened(path, how) as found:
        metadata[server.DIGEST] = found.digest()
        if not sent.again and sent.since is None:
            _refuse_twice(api, metadata[server.DIGEST])
        file_id = api.upload(found.file, path.name)
        metadata |= submit.table(api, found, how)
        return api.create(file_id, metadata, "24h"), found.sheet


def _refuse_twice(api: Server, digest: str) -> None:
    earlier = submit.submitted_before(api, server.DIGEST, digest)
    if earlier is not None:
        raise Refused(
            f"The same was submitted within a day, as {earlier['id']} ({earlier['status']}). batch_status shows it;"
            " again=true submits and pays for it once more."
        )


async def _continue(desk: Desk, sent: Continue) -> str:
    wanted = {"max_cost": sent.max_cost, "max_tokens": sent.max_tokens}

    def call() -> str:
        given = {name: value for name, value in wanted.items() if value is not None}
        return words.batch(desk.server.go_on(sent.batch_id, given), desk.server)

    return str(await waited(call))


async def _cancel(desk: Desk, sent: Cancel) -> str:
    def call() -> str:
        return words.batch(desk.server.cancel(sent.batch_id), desk.server)

    return str(await waited(call))


TOOLS = (
    Tool(
        "batch_submit",
        "Submit a table or requests as a batch",
        "Ask Claude the same about each row of a table, in the background, and get a batch's id. Thousands of rows are fine, and"
        ' none is lost. Small example: rows=[{"id": "1", "text": "Arrived broken."}], template=\'Is this review kind?'
        " {text}', id_column='id', model='haiku'. It costs money or a part of a subscription's limit: for a large table pass"
        " try_first=20, look at batch_status (answers, forecast of the cost) and batch_results, and then batch_continue. A batch"
        " takes minutes to hours; don't wait for it in a loop.",
        Submit,
        _submit,
        changes=True,
    ),
    Tool(
        "batch_continue",
        "Let a batch go on",
        "Let a batch go on whose first requests were tried, or whose budget is used up (then with a larger max_cost or"
        " max_tokens). The rest of its requests costs what the forecast says.",
        Continue,
        _continue,
        changes=True,
    ),
    Tool(
        "batch_cancel",
        "Cancel a batch",
        "Cancel a batch: what runs is stopped, what is done is kept.",
        Cancel,
        _cancel,
        changes=True,
        destroys=True,
    ),
)
