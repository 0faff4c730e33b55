"""`nightshift batch report ID`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ops.cli.batch import server, targets

if TYPE_CHECKING:
    import argparse

HELP = "Write how a batch went as one HTML file, to be opened in a browser or mailed. Also while it runs."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and where to."""
    parser.add_argument("batch", metavar="ID")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: ID.html in this directory")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--answers", type=int, default=0, metavar="N", help="include the first N questions and answers")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write it and print where; or print its numbers. 3: some requests failed, 1: the batch did not complete."""
    if not args.json:
        targets.check(args.output, force=args.force)
    with server.Server(args.url) as api:
        batch = api.batch(args.batch)
        if args.json:
            server.show_json(api.report(batch["id"]))
        else:
            output = args.output or Path(f"{batch['id']}.html")
            page = api.report_page(batch["id"], args.answers)
            # Of the batch's own name it is an older report.
            with targets.opened(output) as target:
                target.write(page.decode())
            print(output)
    return server.status_of(batch) if batch["status"] in server.FINAL else 0
