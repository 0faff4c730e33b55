"""Reads the command line and hands over to the subcommand's module."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol, cast

from app import environment
from app.settings import SettingsError
from ops.cli import misspelled
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

#: each is a module of this package; they import what is heavy only in `run`
SUBCOMMANDS = (
    "up",
    "worker",
    "api",
    "callbacks",
    "stop",
    "restart",
    "batch",
    "status",
    "pause",
    "resume",
    "doctor",
    "version",
)


#: the exit status of a program whose reader has left, as shells know it
SIGPIPE_STATUS = 141


class Subcommand(Protocol):
    """What a subcommand's module has."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it. The exit status: 0 done, 1 it failed, 2 it was asked for in a wrong way.

        `SettingsError` and `StackError` are shown to the user as they are.
        """


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `nightshift`."""
    args = _parser().parse_args(argv)
    if args.command != "doctor":  # where they are findings
        for complaint in misspelled.complaints(environment.variables()):
            print(f"nightshift: warning: {complaint}", file=sys.stderr)
    try:
        status = cast("Subcommand", args.subcommand).run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read what we print has enough. Python would complain at its end of what is left: it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE_STATUS
    except SettingsError as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return 2
    except StackError as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # A disk that is full, a directory that is somebody else's: nothing that a traceback would explain better.
        print(f"nightshift: {error}", file=sys.stderr)
        log.debug("%s", error, exc_info=error)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nightshift", description="An OpenAI-compatible gateway to Claude with a queue."
    )
    parser.add_argument("--version", action="version", version=version("claude-nightshift"))
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name in SUBCOMMANDS:
        subcommand = cast("Subcommand", import_module(f"ops.cli.{name}"))
        subparser = subparsers.add_parser(name, help=subcommand.HELP, description=subcommand.HELP)
        subcommand.arguments(subparser)
        subparser.set_defaults(subcommand=subcommand)
    return parser


if __name__ == "__main__":
    sys.exit(main())
