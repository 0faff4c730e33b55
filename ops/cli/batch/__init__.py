"""`nightshift batch`: hand in a file in the evening, read its answers in the morning. Talks to the API like any client."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from app.batches.formats.json_file import FormatError
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    import argparse

    from ops.cli.main import Subcommand

HELP = "Submit, watch and read batches of a running Nightshift."
#: each is a module of this package
ACTIONS = ("submit", "watch", "results", "report", "list", "cancel", "retry", "validate")
_MODULES = {"list": "listing"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and theirs."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name in ACTIONS:
        action = cast("Subcommand", import_module(f"{__name__}.{_MODULES.get(name, name)}"))
        subparser = actions.add_parser(name, help=action.HELP, description=action.HELP)
        action.arguments(subparser)
        subparser.set_defaults(action=action)


def run(args: argparse.Namespace) -> int:
    """0: all is well. 1: it could not be done, or the batch did not complete. 3: it did, and some requests failed."""
    try:
        return cast("Subcommand", args.action).run(args)
    except BrokenPipeError:
        raise
    except FormatError as error:
        raise StackError(str(error)) from error
    except OSError as error:
        raise StackError(f"{error.filename or 'a file'}: {error.strerror or error}.") from error
