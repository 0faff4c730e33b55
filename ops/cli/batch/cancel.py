"""`nightshift batch cancel ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cli.batch import server

if TYPE_CHECKING:
    import argparse

HELP = "Cancel a batch: what runs is stopped, what is done is kept."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("batch", metavar="ID")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Say what it is now."""
    with server.Server(args.url) as api:
        batch = api.cancel(args.batch)
    if args.json:
        server.show_json(batch)
    else:
        print(f"{batch['id']} {batch['status']}")
    return 0
