"""Whether an object store can be used: it takes, gives and deletes, and obeys the conditions that keep two machines apart."""

from __future__ import annotations

import errno
import secrets
from typing import TYPE_CHECKING

from app.batches.storage.bucket import Conflict
from app.batches.storage.protocol import StorageError

if TYPE_CHECKING:
    from app.batches.storage.bucket import Bucket, Version


def check(bucket: Bucket) -> None:
    """By an object of its own, which is gone afterwards. Raises `StorageError` that says why not."""
    path = f".check-{secrets.token_hex(8)}"
    try:
        first = _write(bucket, path, b"1", None)
        second = _write(bucket, path, b"2", first)
        for version in (None, first):
            try:
                bucket.put(path, b"3", version)
            except Conflict:
                continue
            raise StorageError(
                errno.ENOTSUP,
                f"{bucket.url} ignores conditional writes (If-Match, If-None-Match): two machines could overwrite each other's answers",
            )
        if bucket.get(path, only=second).data != b"2":
            raise StorageError(errno.EIO, f"{bucket.url} does not give back what was written to it")
        bucket.delete([path])
    except (Conflict, FileNotFoundError) as error:
        raise StorageError(errno.EIO, f"{bucket.url} does not keep what was written to it ({error})") from error


def _write(bucket: Bucket, path: str, data: bytes, replaces: Version | None) -> Version:
    try:
        return bucket.put(path, data, replaces)
    except Conflict:
        # Its answer was lost, and it was sent again. Or not.
        found = bucket.get(path)
        if found.data != data:
            raise
        return found.version
