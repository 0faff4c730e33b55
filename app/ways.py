"""The ways to Claude that `NIGHTSHIFT_WAYS` may name."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Way(StrEnum):
    """How a request gets to Claude."""

    #: Claude's command line, as long-lived processes: any login
    CLI = "cli"
    #: the Messages API itself: an API key, and no process
    API = "api"


#: what will be one
_BATCHES = "batches"


def fault(names: Sequence[str]) -> str | None:
    """What is wrong with the setting's value, as the rest of a sentence that begins with its name; None: nothing."""
    known = [*Way]
    takes = " or ".join(known)
    if not names:
        return f"names no way; it takes {takes}"
    if _BATCHES in names:
        return f"names `{_BATCHES}`, which is not there yet; it takes {takes}"
    if unknown := [name for name in names if name not in known]:
        return f"names `{unknown[0]}`, which is no way; it takes {takes}"
    if len(set(names)) < len(names):
        return "names a way twice"
    if len(names) > 1:
        return f"names {len(names)} ways; it takes one for now, {takes}"
    return None
