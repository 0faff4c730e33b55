"""How much of each of a subscription's usage windows is used, as answers last reported it.

One hash a way, `nightshift:windows:WAY`: JSON by the window's name. It expires with the last of the windows.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app import clock
from app.connection import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from app.ways import Way


#: a hash: JSON by the window's name, as it was when a night began, or, with its id, a batch
BEGUN = "nightshift:windows:begun"
_KEEP_BEGUN_SECONDS = 8 * 86400


@dataclass(frozen=True, slots=True)
class UsedWindow:
    """Times are seconds since the epoch."""

    #: e.g. `five_hour`, as the API names the window's limit
    name: str
    #: 0 to 1 and beyond
    utilization: float
    resets_at: float
    #: when an answer reported it
    seen_at: float


def note(connection: Redis, way: Way, windows: Mapping[str, tuple[float, float]]) -> None:
    """What an answer reported, by window: its use, 0 to 1, and its reset. A report that another has overtaken is dropped."""
    key, now = _key(way), clock.now()
    reported = [
        UsedWindow(name, used, resets_at, now) for name, (used, resets_at) in windows.items() if resets_at > now
    ]
    if not reported:
        return

    def change(pipe: Any) -> None:
        known = {one.name: one for one in _read(pipe.hgetall(key), now)}
        newer = [one for one in reported if _is_newer(one, known.get(one.name))]
        pipe.multi()
        if newer:
            pipe.hset(key, mapping={one.name: json.dumps(asdict(one)) for one in newer})
            pipe.expireat(key, math.ceil(max(one.resets_at for one in (*newer, *known.values()))) + 1)

    transaction(connection, key, change)


def read(connection: Redis, way: Way) -> list[UsedWindow]:
    """Those that have not begun anew since, by name."""
    return _read(connection.hgetall(_key(way)), clock.now())


def at_begin(
    connection: Redis, night: float, windows: Mapping[str, UsedWindow], *, notes: bool, batch_id: str = ""
) -> dict[str, UsedWindow]:
    """How much of each was used when the night, or the batch, began: when its first line could start.

    `night`: when it began by the clock. `notes`: those of a new one are written down.
    """
    key = f"{BEGUN}:{batch_id}" if batch_id else BEGUN
    found: Any = connection.hgetall(key)
    noted = {name.decode(): json.loads(text) for name, text in found.items()}
    known = {name: UsedWindow(**one["window"]) for name, one in noted.items() if one["night"] == night}
    new = {name: one for name, one in windows.items() if name not in known}
    if notes and new:
        connection.hset(
            key, mapping={name: json.dumps({"night": night, "window": asdict(one)}) for name, one in new.items()}
        )
        connection.expire(key, _KEEP_BEGUN_SECONDS)
    return {**new, **known}


def _read(data: Any, now: float) -> list[UsedWindow]:
    found = [UsedWindow(**json.loads(text)) for _, text in sorted(data.items())]
    return [one for one in found if one.resets_at > now]


def _is_newer(one: UsedWindow, known: UsedWindow | None) -> bool:
    # Within a window its use only grows.
    return known is None or (one.resets_at, one.utilization) > (known.resets_at, known.utilization)


def _key(way: Way) -> str:
    return f"nightshift:windows:{way}"
