"""How each way of the ladder is now: open or closed, to whom, until when, and what it has spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import caps, used_windows
from app.gate import read_closings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from app.caps import Spent
    from app.gate import Closed
    from app.used_windows import UsedWindow
    from app.ways import Step


@dataclass(frozen=True, slots=True)
class WayStatus:
    """One step of the ladder. A pause is none of it: it holds all ways."""

    step: Step
    #: what closes all of it; None: it is open, but for `families`
    closed: Closed | None
    #: what closes it to a family of models
    families: Mapping[str, Closed]
    #: None: it has no cap
    spent: Spent | None
    #: how much of its usage windows is used: a subscription's, once an answer has reported it
    windows: Sequence[UsedWindow] = ()


def read(connection: Redis, ladder: Sequence[Step]) -> list[WayStatus]:
    """In the ladder's order. Raises redis-py's errors when Redis is away."""
    scopes, spent = read_closings(connection).scopes, caps.read(connection, ladder)
    found = []
    for step in ladder:
        mine = {scope.family: closed for scope, closed in scopes.items() if scope.way is step.way}
        windows = used_windows.read(connection, step.way)
        found.append(WayStatus(step, mine.pop("", None), mine, spent.get(step.way), windows))
    return found
