"""`nightshift batch validate FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.cli.batch import faults, server, source

if TYPE_CHECKING:
    import argparse

HELP = "Name every fault of a file, without a server."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The same file and options as `submit`."""
    source.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """0: all would run. 3: some would be refused, and the rest run. 1: the file would be refused.

    The settings are this shell's: the server's may name other models.
    """
    from app.batches.endpoints import CHAT_COMPLETIONS  # noqa: PLC0415 - pydantic is slow to import
    from app.batches.validation import Check  # noqa: PLC0415
    from app.settings import Settings  # noqa: PLC0415

    found: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    check = Check(CHAT_COMPLETIONS, Settings.from_environment(), is_strict=args.strict)
    with source.opened(args) as requests:
        for verdict in check.verdicts(requests.file):
            if verdict.fault is not None:
                (refused if verdict.is_refused else found).append(vars(verdict.fault))
    if args.json:
        server.show_json({"requests": check.total, "errors": found, "refused": refused})
    else:
        faults.say(args.file, found, requests.unit)
        faults.say(args.file, refused, requests.unit, prefix="refused: ")
        print(f"{args.file}: {_summary(check.total, len(found), len(refused))}")
    return 1 if found else 3 if refused else 0


def _summary(total: int, found: int, refused: int) -> str:
    if found:
        return f"{total:,} requests, {found:,} fault{'s' if found > 1 else ''} of the file: nothing would run."
    if refused:
        return (
            f"{total:,} requests, {refused:,} would be refused: each is a 400 in the error file, and the rest runs."
            " --strict would refuse the file instead."
        )
    return f"{total:,} requests, no fault."
