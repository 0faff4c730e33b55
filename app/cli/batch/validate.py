"""`nightshift batch validate FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.batch import server, source

if TYPE_CHECKING:
    import argparse

HELP = "Name every fault of a file, without a server."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The same file and options as `submit`."""
    source.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """0 when it may be submitted, 1 when not. The settings are this shell's: the server's may name other models."""
    from app.batches.endpoints import CHAT_COMPLETIONS  # noqa: PLC0415 - pydantic is slow to import
    from app.batches.validation import check  # noqa: PLC0415
    from app.settings import Settings  # noqa: PLC0415

    faults: list[dict[str, Any]] = []
    total = 0
    with source.opened(args) as found:
        for _, fault, findings in check(found.file, CHAT_COMPLETIONS, Settings.from_environment()):
            total = findings.total
            if fault is not None:
                faults.append(vars(fault))
                if not args.json:
                    server.say(server.fault_text(args.file, vars(fault), is_table=found.table is not None))
    if args.json:
        server.show_json({"requests": total, "errors": faults})
    elif not faults:
        print(f"{args.file}: {total} requests, no fault.")
    return 1 if faults else 0
