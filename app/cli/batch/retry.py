"""`nightshift batch retry ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.batch import server, watch

if TYPE_CHECKING:
    import argparse

HELP = "Make a new batch of the requests that failed or were not run; prints its id."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("batch", metavar="ID")
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    with server.Server(args.url) as api:
        batch = api.retry(args.batch)
        watch.name(args, api, batch)
        return watch.begun(args, api, batch)
