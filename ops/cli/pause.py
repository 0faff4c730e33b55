"""`nightshift pause`: no worker takes a further job, until a time or until `nightshift resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cli import gate
from ops.cli.batch import server

if TYPE_CHECKING:
    import argparse

HELP = "Take no further job; what runs is finished. `nightshift resume` ends it."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Until when, and why."""
    parser.add_argument(
        "--until", type=gate.moment, metavar="TIME", help="07:00, or 2026-11-23T07:00 (this machine's time)"
    )
    parser.add_argument("--reason", default="paused by hand", help="shown in /health and to clients")
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Pause, and say until when."""
    with server.Server(args.url) as found:
        gate.show(found.pause(args.until, args.reason), as_json=args.json)
    return 0
