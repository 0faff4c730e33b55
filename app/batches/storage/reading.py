"""What counts of bytes that may be growing."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.batches.storage.protocol import Readable

_PIECE_BYTES = 256 * 1024


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes; closes the file."""
    with file:
        while size > 0 and (piece := file.read(min(size, _PIECE_BYTES))):
            size -= len(piece)
            yield piece


def counted_lines(storage: Readable, name: str, length: int) -> Iterator[bytes]:
    """The whole lines among the first `length` bytes, with their line feeds. None when it is gone, fewer when it is shorter."""
    if not length:
        return
    try:
        file = storage.open(name)
    except FileNotFoundError:
        return
    with file:
        while length > 0 and (raw := file.readline(length)).endswith(b"\n"):
            length -= len(raw)
            yield raw
