"""`nightshift batch submit FILE`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.ways import Way
from app.window import WindowError, parse
from ops.cli import options
from ops.cli.batch import again, faults, server, source, watch
from ops.cli.batch.again import Again
from ops.cli.batch.server import Server
from ops.cli.batch.source import DEFAULT, FilePath, How
from ops.cli.batch.watch import Stay
from ops.cli.options import AsJson, Url

#: what a batch of ours has in its metadata, for `results` to give the table back
TABLE_FILE, TABLE_FORMAT, TABLE_ID = "nightshift_table", "nightshift_format", "nightshift_id_column"
_POLL_SECONDS = 0.2
#: a batch that does not move is explained after this time, seconds
EXPLAIN_SECONDS = 5.0


def submit(
    file: FilePath,
    /,
    *,
    how: How = DEFAULT,
    window: Annotated[str | None, Parameter(help="when its lines may run, e.g. '22:00-07:00 Europe/Berlin'")] = None,
    way: Annotated[
        Way | None, Parameter(help="the only way to Claude that its lines take, of those that NIGHTSHIFT_WAYS names")
    ] = None,
    completion_window: Annotated[str, Parameter(help="the batch expires then (default 24h; 1h to 7d)")] = "24h",
    callback_url: Annotated[str | None, Parameter(help="gets a signed webhook when the batch has ended")] = None,
    again_: Again = False,
    stay: Stay = False,
    url: Url = None,
    as_json: AsJson = False,
) -> int:
    """Upload, create, and wait until the server has validated every line, or say why it can't."""
    metadata = _metadata(window, way, callback_url, is_strict=how.strict)
    with Server(url) as api:
        if model := how.model or (how.template and "sonnet"):
            api.check_model(model)
        with source.opened(file, how) as found:
            metadata[server.DIGEST] = found.digest()
            earlier = None if again_ else again.earlier(api, server.DIGEST, metadata[server.DIGEST])
            if not again.is_wanted(earlier, str(file)):
                return 1
            file_id = api.upload(found.file, file.name)
        if found.table is not None:
            metadata |= _table(api, file, found.table, how.id_column)
        batch = api.create(file_id, metadata, completion_window)
        watch.name(api, batch, as_json=as_json)
        again.say(earlier, str(file))
        with watch.goes_on(batch["id"]):
            batch = _validated(api, batch)
        if batch["status"] == "failed":
            if as_json:
                server.show_json(batch)
            return _failed(file, batch, found.unit)
        if refused := batch["nightshift"].get("refused"):
            _say_refused(file, batch, refused)
        return watch.begun(api, batch, stay=stay, as_json=as_json)


def _table(api: Server, file: Path, kind: str, id_column: str | None) -> dict[str, str]:
    """The table itself, for `results` to give back, as metadata."""
    with file.open("rb") as table:
        found = {TABLE_FILE: api.upload(table, file.name), TABLE_FORMAT: kind}
    return found | ({TABLE_ID: id_column} if id_column else {})


def _validated(api: Server, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch once its file was looked at; still `validating` when nobody will."""
    explain_at = time.monotonic() + EXPLAIN_SECONDS
    while batch["status"] == "validating":
        time.sleep(_POLL_SECONDS)
        batch = api.batch(batch["id"])
        if time.monotonic() >= explain_at and watch.why(batch):
            break
    return batch


def _metadata(window: str | None, way: Way | None, callback_url: str | None, *, is_strict: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    if window:
        try:
            parse(window)
        except WindowError as error:
            options.fail(f"--window {error}.")
        found["batch_window"] = window
    if way:
        found["way"] = way
    if callback_url:
        found["callback_url"] = callback_url
    if is_strict:
        found["on_bad_line"] = "fail"
    return found


def _failed(file: Path, batch: dict[str, Any], unit: str) -> int:
    found = batch["errors"]["data"]
    faults.say(file, found, unit)
    number = f"{len(found):,} fault{'' if len(found) == 1 else 's'}"
    server.say(f"nightshift: {batch['id']} failed: {number} of the file; nothing was run.")
    return 1


def _say_refused(file: Path, batch: dict[str, Any], refused: int) -> None:
    """Of a batch that runs: how many of its requests don't."""
    total = batch["request_counts"]["total"]
    server.say(
        f"nightshift: {refused:,} of {total:,} requests are refused, and are 400s in the error file; the others run."
        f" `nightshift batch validate {file}` names them; --strict refuses the whole file."
    )
