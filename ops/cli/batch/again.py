"""Whether the same was submitted before: nobody's night is to be paid twice by mistake."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

from cyclopts import Parameter

from ops.cli.batch import server
from ops.cli.batch.server import Server

#: what was submitted within this time is asked about, seconds
AGAIN_SECONDS = 24 * 3600


Again = Annotated[bool, Parameter("--again", help="don't ask although it was submitted within a day")]


def earlier(api: Server, name: str, value: str) -> dict[str, Any] | None:
    """The batch of the last day that has this in its metadata."""
    return api.made_since(time.time() - AGAIN_SECONDS, name, value)  # noqa: TID251 - within a day, by any clock


def is_wanted(found: dict[str, Any] | None, what: str) -> bool:
    """Whether to go on. Asks whoever sits at a terminal; a script goes on."""
    if found is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"{_told(found, what)} Submit it again? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    server.say(f"nightshift: nothing was submitted. `nightshift batch watch {found['id']}` shows the other.")
    return False


def say(found: dict[str, Any] | None, what: str) -> None:
    """For a script, beside the new batch's id."""
    if found is not None:
        server.say(f"nightshift: {_told(found, what)} (--again: don't say so)")


def _told(found: dict[str, Any], what: str) -> str:
    at = time.strftime("%a %H:%M", time.localtime(found["created_at"]))
    counts = found["request_counts"]
    return (
        f"{what} was submitted in the same way at {at}, as {found['id']}"
        f" ({found['status']}, {counts['completed']:,} of {counts['total']:,} answered)."
    )
