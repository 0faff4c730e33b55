"""`nightshift batch validate FILE`."""

from __future__ import annotations

from typing import Any

from app.batches.endpoints import CHAT_COMPLETIONS
from app.batches.validation import Check
from app.settings import Settings
from ops.cli.batch import server, source
from ops.cli.batch.source import DEFAULT, How
from ops.cli.batch.submit import say_faults
from ops.cli.batch.table_file import FilePath, shown
from ops.cli.options import AsJson


def validate(file: FilePath, /, *, how: How = DEFAULT, as_json: AsJson = False) -> int:
    """0: all would run. 3: some would be refused, and the rest run. 1: the file would be refused.

    The settings are this shell's: the server's may name other models.
    """
    found: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    check = Check(CHAT_COMPLETIONS, Settings.from_environment(), is_strict=how.strict)
    with source.opened(file, how) as requests:
        for verdict in check.verdicts(requests.file):
            if verdict.fault is not None:
                (refused if verdict.is_refused else found).append(vars(verdict.fault))
    if as_json:
        server.show_json({"requests": check.total, "errors": found, "refused": refused})
    else:
        say_faults(file, found, requests.unit)
        say_faults(file, refused, requests.unit, prefix="refused: ")
        print(f"{shown(file)}: {_summary(check.total, len(found), len(refused))}")
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
