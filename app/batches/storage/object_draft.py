"""Bytes on their way into an object store: a few are sent at once when they are kept, many while they are written."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from app.batches.storage.bucket import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.batches.storage.bucket import Bucket, Upload

#: what is held in memory before it is sent in parts, bytes
_HELD_BYTES = PART_BYTES


class ObjectDraft(io.RawIOBase):
    """To write to, from the first byte to the last. `keep` or `discard` ends it."""

    def __init__(self, bucket: Bucket, path: str) -> None:
        super().__init__()
        self._bucket = bucket
        self._path = path
        self._held = bytearray()
        self._upload: Upload | None = None
        self._size = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        """Raises `OSError` when the store does not take it."""
        self._size += len(data)
        if self._upload is not None:
            self._upload.write(bytes(data))
            return len(data)
        self._held += data
        if len(self._held) > _HELD_BYTES:
            self._upload = self._bucket.upload(self._path)
            self._upload.write(bytes(self._held))
            self._held.clear()
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._size

    def seekable(self) -> bool:
        """To the beginning and the end, to learn its size; what is written goes to the end wherever that was."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See `seekable`."""
        return self._size if whence == os.SEEK_END else offset

    def keep(self, put: Callable[[str, bytes], None]) -> int:
        """Its size, once it is there. `put` stores what is small enough to be sent at once."""
        if self._upload is None:
            put(self._path, bytes(self._held))
        else:
            self._upload.close()
            self._upload = None
        self._held.clear()
        self.close()
        return self._size

    def discard(self) -> None:
        """Nothing of it stays, unless it was kept."""
        upload, self._upload = self._upload, None
        self._held.clear()
        self.close()
        if upload is not None:
            upload.abort()
