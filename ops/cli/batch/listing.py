"""`nightshift batch list`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ops.cli.batch import server

if TYPE_CHECKING:
    import argparse

HELP = "List batches, newest first."


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--limit", type=int, default=20, metavar="N")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """One line a batch."""
    with server.Server(args.url) as api:
        found = api.batches(args.limit)
    if args.json:
        server.show_json(found)
        return 0
    for batch in found:
        counts = batch["request_counts"]
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(batch["created_at"]))
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        unrun = f", {batch['nightshift']['unrun']} not run" if batch["nightshift"]["unrun"] else ""
        print(f"{batch['id']}  {made}  {batch['status']:<11}  {counts['completed']}/{counts['total']}{failed}{unrun}")
    return 0
