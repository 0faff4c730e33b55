"""Which directory holds a batch's files. Each data dir has a name of its own, and batches and files remember theirs.

A process on a machine that does not share that directory finds another name, or none, and leaves the batch to those that do.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.private_files import private

if TYPE_CHECKING:
    from redis import Redis

#: a hash: of each directory in which batches were done, by its name, where it is, as JSON
PLACES = "nightshift:batches:places"
#: where older code noted the one directory that there was
_ONLY = "nightshift:batches:place"
_FILE = ".place"


@dataclass(frozen=True)
class Address:
    """Where a directory was seen last. Two that are equal are the same path on the same disk of a machine that was not restarted."""

    host: str
    path: str
    device: int
    machine: str


def name(root: Path) -> str:
    """The directory's name; it gets one, and is made, when it has none."""
    path = private(root) / _FILE
    with suppress(FileNotFoundError):
        return path.read_text()
    descriptor, draft = tempfile.mkstemp(dir=root, prefix=_FILE)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(16))
            file.flush()
            os.fsync(file.fileno())
        # A link fails where another process was quicker: both have the same name then.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return path.read_text()


def of(connection: Redis, place: str) -> str:
    """The name that a record has, or what stands for it in one that older code wrote; empty: nobody knows."""
    if place:
        return place
    found: Any = connection.get(_ONLY)
    return "" if found is None else str(found.decode())


def is_at(connection: Redis, place: str, here: str) -> bool:
    """Whether a record's files are in the directory of that name. One that nobody knows of is taken for this one."""
    return (of(connection, place) or here) == here


def register(connection: Redis, root: Path, here: str) -> list[str]:
    """This process works in that directory. The names that it had before, whose files are lost: it was deleted and made anew."""
    address = _address(root)
    connection.hset(PLACES, here, json.dumps(asdict(address)))
    return [other for other, known in known_places(connection).items() if other != here and known == address]


def known_places(connection: Redis) -> dict[str, Address]:
    """All directories by name, those that are lost and those that nobody works in now included."""
    found: Any = connection.hgetall(PLACES)
    return {key.decode(): Address(**json.loads(value)) for key, value in found.items()}


def _address(root: Path) -> Address:
    # The disk, too: where one is not mounted, the directory below it is not the one whose files these are.
    return Address(socket.gethostname(), os.path.abspath(root), root.stat().st_dev, _machine())  # noqa: PTH100 - no symlinks


def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"
