"""Which directory holds the batches' files: the one whose name the API has put into Redis.

A supervisor on a machine that does not share it finds another name, or none, and leaves the batches to those that do.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from app.stack.data_dir import private, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

PLACE = "nightshift:batches:place"


def claim(connection: Redis, root: Path) -> None:
    """New batches are in this directory."""
    path = private(root) / ".place"
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    connection.set(PLACE, path.read_text())


def is_here(connection: Redis, root: Path) -> bool:
    """Whether the batches are in this directory; true where there were none yet."""
    name: Any = connection.get(PLACE)
    if name is None:
        return True
    try:
        return bool((root / ".place").read_bytes() == name)
    except FileNotFoundError:
        return False
