"""Why a batch can't go on whatever becomes of the gate and its window: nobody does its work, or its files are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.batches.leadership import known_storages, leaders, storage_of

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.record import BatchRecord

#: as clients read them in `nightshift.waiting_for`
NO_FEEDER, FILES_ELSEWHERE, FILES_UNUSABLE = "no_feeder", "files_elsewhere", "files_unusable"


@dataclass(frozen=True)
class Stalled:
    """Why, as a code and for people."""

    code: str
    reason: str


def why(connection: Redis, record: BatchRecord) -> Stalled | None:
    """None for a batch that is being worked on, and for one that has ended."""
    if record.status.is_final:
        return None
    if record.stuck:
        return Stalled(FILES_UNUSABLE, record.stuck)
    led = leaders(connection)
    if not led:
        return Stalled(NO_FEEDER, "No process does the batches' work: start `nightshift up`, `api` or `worker`.")
    where = storage_of(connection, record.place)
    if not where or any(leader.place == where for leader in led):
        return None
    address = known_storages(connection).get(where)
    at = f"in {address.path} on {address.host}" if address else "in a data dir"
    return Stalled(FILES_ELSEWHERE, f"Its files are {at}, where no Nightshift runs now; others don't have them.")
