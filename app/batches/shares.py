"""How many lines each batch may add to the queue, from what is there and what each owner has had."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from app.api_keys import KnownKeys
from app.batches.fairness import Claim, Fairness
from app.batches.leadership import LEASE_SECONDS
from app.batches.record import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from redis import Redis

    from app.batches.capacity import Capacity
    from app.batches.collector import Look
    from app.batches.record import BatchRecord

log = logging.getLogger(__name__)

#: how often the virtual times are kept for another process to go on from, and for how long, seconds
_KEEP_EVERY_SECONDS = 1.0
_KEEP_SECONDS = 60


class Shares:
    """Used by the process that does the batches' work. Raises redis-py's errors when Redis is away."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._keys = KnownKeys(connection)
        self._fairness = Fairness()
        #: by `time.monotonic()`
        self._used_at = float("-inf")
        self._kept_at = float("-inf")

    def of(
        self,
        looks: Mapping[str, Look],
        here: Collection[str],
        capacity: Capacity,
        may_start: Callable[[BatchRecord], bool],
        place: str,
    ) -> dict[str, int]:
        """`here`: the batches that this process feeds, of those that have not ended. `place`: the storage that it works in."""
        now = time.monotonic()
        if now - self._used_at > LEASE_SECONDS:
            # Another process may have done the work meanwhile.
            self._fairness = self._kept(place)
        self._used_at = now
        claims = [
            Claim(
                batch_id,
                look.record.owner,
                look.record.served_tokens,
                len(look.near),
                look.record.line_tokens,
                _wanted(look, capacity, may_start),
                batch_id not in here,
            )
            for batch_id, look in looks.items()
        ]
        near = sum(claim.near for claim in claims)
        delayed = sum(len(look.delayed) for look in looks.values())
        room = min(capacity.near - near, capacity.in_flight - near - delayed)
        weights = self._keys.priorities() if len({claim.owner for claim in claims}) > 1 else {}
        given = self._fairness.share(claims, room, weights, now)
        if claims and now - self._kept_at >= _KEEP_EVERY_SECONDS:
            self._connection.set(_key(place), self._fairness.to_json(), ex=_KEEP_SECONDS)
            self._kept_at = now
        return given

    def not_taken(self, batch_id: str) -> None:
        """A batch could not start any line: for a while others get its share."""
        self._fairness.rest(batch_id, time.monotonic())

    def _kept(self, place: str) -> Fairness:
        text: Any = self._connection.get(_key(place))
        try:
            return Fairness() if text is None else Fairness.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("[BATCH] what each key has had is not readable (%s): all begin equal", error)
            return Fairness()


def affordable(look: Look) -> float:
    """How many further lines the budgets of the batch, its key and the house are good for."""
    return min(look.record.affordable(len(look.in_queue) + look.in_parts), look.room)


def _wanted(look: Look, capacity: Capacity, may_start: Callable[[BatchRecord], bool]) -> float:
    record = look.record
    if record.status is not BatchStatus.IN_PROGRESS or not may_start(record):
        return 0
    if look.is_held or len(look.parked) >= capacity.in_flight:
        return 0
    if look.retries is not None:
        left = len(look.retries)
    else:
        left = record.limit - record.ended - len(look.in_queue) - look.in_parts
    return max(0, min(left, affordable(look)))


def _key(place: str) -> str:
    """The virtual times in a storage's process: JSON, `Fairness.to_json`."""
    return f"nightshift:batches:shares:{place}"
