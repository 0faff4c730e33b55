"""`nightshift batch submit FILE`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.batches import window
from app.cli import options
from app.cli.batch import server, source, watch

if TYPE_CHECKING:
    import argparse

HELP = "Hand in a file of requests, or a table with a template; prints the batch's id."
#: what a batch of ours has in its metadata, for `results` to give the table back
TABLE_FILE, TABLE_FORMAT, TABLE_ID = "nightshift_table", "nightshift_format", "nightshift_id_column"
_POLL_SECONDS = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to submit, and how."""
    source.arguments(parser)
    parser.add_argument("--window", help="when its lines may run, e.g. '22:00-07:00 Europe/Berlin'")
    parser.add_argument(
        "--completion-window", default="24h", metavar="TIME", help="the batch expires then (24h; 1h to 7d)"
    )
    parser.add_argument("--callback-url", metavar="URL", help="gets a signed webhook when the batch has ended")
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Upload, create, and wait until the server has validated every line."""
    metadata = _metadata(args)
    with server.Server(args.url) as api:
        with source.opened(args) as found:
            file_id = api.upload(found.file, args.file.name)
        if found.table is not None:
            with args.file.open("rb") as table:
                metadata[TABLE_FILE] = api.upload(table, args.file.name)
            metadata[TABLE_FORMAT] = found.table
            if args.id_column:
                metadata[TABLE_ID] = args.id_column
        batch = api.create(file_id, metadata, args.completion_window)
        while batch["status"] == "validating":
            time.sleep(_POLL_SECONDS)
            batch = api.batch(batch["id"])
        if batch["status"] == "failed":
            return _refused(args, batch)
        return watch.begun(args, api, batch)


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
    return found


def _refused(args: argparse.Namespace, batch: dict[str, Any]) -> int:
    if args.json:
        server.show_json(batch)
    for fault in batch["errors"]["data"]:
        server.say(server.fault_text(args.file, fault, is_table=args.template is not None))
    server.say(f"nightshift: {batch['id']} failed: {len(batch['errors']['data'])} faults; nothing was run.")
    return 1
