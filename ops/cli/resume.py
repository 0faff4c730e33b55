"""`nightshift resume`: ends a pause, and tries at once whatever else holds work back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cli import gate
from ops.cli.batch import server

if TYPE_CHECKING:
    import argparse

HELP = "End a pause; a usage limit or a broken login is tried again at once."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where the server is."""
    server.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Resume, and say how things stand."""
    with server.Server(args.url) as found:
        gate.show(found.resume(), as_json=args.json)
    return 0
