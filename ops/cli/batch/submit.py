"""`nightshift batch submit FILE`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app import window
from ops.cli import options
from ops.cli.batch import again, faults, server, source, watch

if TYPE_CHECKING:
    import argparse

    from ops.cli.batch.server import Server
    from ops.cli.batch.source import Source

HELP = "Hand in a file of requests, or a table with a template; prints the batch's id."
#: what a batch of ours has in its metadata, for `results` to give the table back
TABLE_FILE, TABLE_FORMAT, TABLE_ID = "nightshift_table", "nightshift_format", "nightshift_id_column"
_POLL_SECONDS = 0.2
#: a batch that does not move is explained after this time, seconds
EXPLAIN_SECONDS = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to submit, and how."""
    source.arguments(parser)
    parser.add_argument("--window", help="when its lines may run, e.g. '22:00-07:00 Europe/Berlin'")
    parser.add_argument(
        "--completion-window", default="24h", metavar="TIME", help="the batch expires then (24h; 1h to 7d)"
    )
    parser.add_argument("--callback-url", metavar="URL", help="gets a signed webhook when the batch has ended")
    again.arguments(parser)
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Upload, create, and wait until the server has validated every line, or say why it can't."""
    metadata = _metadata(args)
    with server.Server(args.url) as api:
        if model := args.model or (args.template and "sonnet"):
            api.check_model(model)
        with source.opened(args) as found:
            metadata[server.DIGEST] = found.digest()
            earlier = again.earlier(args, api, server.DIGEST, metadata[server.DIGEST])
            if not again.is_wanted(earlier, str(args.file)):
                return 1
            file_id = api.upload(found.file, args.file.name)
        _add_table(args, api, found, metadata)
        batch = api.create(file_id, metadata, args.completion_window)
        watch.name(args, api, batch)
        again.say(earlier, str(args.file))
        with watch.goes_on(batch["id"]):
            batch = _validated(api, batch)
        if batch["status"] == "failed":
            return _refused(args, batch, found.unit)
        if refused := batch["nightshift"].get("refused"):
            _say_refused(args, batch, refused)
        return watch.begun(args, api, batch)


def _add_table(args: argparse.Namespace, api: Server, found: Source, metadata: dict[str, str]) -> None:
    """The table itself, for `results` to give back."""
    if found.table is None:
        return
    with args.file.open("rb") as table:
        metadata[TABLE_FILE] = api.upload(table, args.file.name)
    metadata[TABLE_FORMAT] = found.table
    if args.id_column:
        metadata[TABLE_ID] = args.id_column


def _validated(api: Server, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch once its file was looked at; still `validating` when nobody will."""
    explain_at = time.monotonic() + EXPLAIN_SECONDS
    while batch["status"] == "validating":
        time.sleep(_POLL_SECONDS)
        batch = api.batch(batch["id"])
        if time.monotonic() >= explain_at and watch.why(batch):
            break
    return batch


def _metadata(args: argparse.Namespace) -> dict[str, str]:
    found: dict[str, str] = {}
    if args.window:
        try:
            window.parse(args.window)
        except window.WindowError as error:
            options.fail(f"--window {error}.")
        found["batch_window"] = args.window
    if args.callback_url:
        found["callback_url"] = args.callback_url
    if args.strict:
        found["on_bad_line"] = "fail"
    return found


def _refused(args: argparse.Namespace, batch: dict[str, Any], unit: str) -> int:
    if args.json:
        server.show_json(batch)
    found = batch["errors"]["data"]
    faults.say(args.file, found, unit)
    number = f"{len(found):,} fault{'' if len(found) == 1 else 's'}"
    server.say(f"nightshift: {batch['id']} failed: {number} of the file; nothing was run.")
    return 1


def _say_refused(args: argparse.Namespace, batch: dict[str, Any], refused: int) -> None:
    """Of a batch that runs: how many of its requests don't."""
    total = batch["request_counts"]["total"]
    server.say(
        f"nightshift: {refused:,} of {total:,} requests are refused, and are 400s in the error file; the others run."
        f" `nightshift batch validate {args.file}` names them; --strict refuses the whole file."
    )
