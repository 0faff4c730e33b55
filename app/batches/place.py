"""Which storage holds a batch's files. Each has a name of its own, and batches and files remember theirs.

A process on a machine that does not share that data dir finds another name, or none, and leaves the batch to those that do.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from app.batches.storage import Location

if TYPE_CHECKING:
    from redis import Redis

    from app.batches.storage import Storage

#: a hash: of each storage in which batches were done, by its name, where it is, as JSON
PLACES = "nightshift:batches:places"
#: where older code noted the one directory that there was
_ONLY = "nightshift:batches:place"


def of(connection: Redis, place: str) -> str:
    """The name that a record has, or what stands for it in one that older code wrote; empty: nobody knows."""
    if place:
        return place
    found: Any = connection.get(_ONLY)
    return "" if found is None else str(found.decode())


def is_at(connection: Redis, place: str, here: str) -> bool:
    """Whether a record's files are in the storage of that name. One that nobody knows of is taken for this one."""
    return (of(connection, place) or here) == here


def register(connection: Redis, storage: Storage, here: str) -> list[str]:
    """This process works in that storage. The names that it had before, whose files are lost: it was deleted and made anew."""
    location = storage.location()
    connection.hset(PLACES, here, json.dumps(asdict(location)))
    return [other for other, known in known_places(connection).items() if other != here and known == location]


def known_places(connection: Redis) -> dict[str, Location]:
    """All storages by name, those that are lost and those that nobody works in now included."""
    found: Any = connection.hgetall(PLACES)
    return {key.decode(): Location(**json.loads(value)) for key, value in found.items()}
