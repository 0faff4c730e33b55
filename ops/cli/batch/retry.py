"""`nightshift batch retry ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cli.batch import again, server, watch

if TYPE_CHECKING:
    import argparse

#: in the new batch's metadata
RETRY_OF = "retry_of"
HELP = "Make a new batch of the requests that failed or were not run; prints its id."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("batch", metavar="ID")
    again.arguments(parser)
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    with server.Server(args.url) as api:
        what = f"What failed in {args.batch}"
        earlier = again.earlier(args, api, RETRY_OF, args.batch)
        if not again.is_wanted(earlier, what):
            return 1
        batch = api.retry(args.batch)
        watch.name(args, api, batch)
        again.say(earlier, what)
        return watch.begun(args, api, batch)
