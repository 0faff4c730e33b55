"""Compressed files, `.gz` and `.zst`: what they hold, up to a bound. What a file is, its first bytes say, and not its name."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING, Any

from app.batches.formats.json_file import FormatError
from app.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePath
    from types import ModuleType

GZIP, ZSTD = ".gz", ".zst"
_MAGIC = {b"\x1f\x8b": GZIP, b"\x28\xb5\x2f\xfd": ZSTD}
#: so many times its size a file may hold, and this much in any case, bytes: no table of people is denser, and a bomb is
MAX_RATIO = 200
ALWAYS_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def packing(path: Path) -> str | None:
    """How the file is compressed, as an ending; None: it is not."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), None)


def split(path: PurePath) -> tuple[PurePath, str | None]:
    """A name without the ending of compression, and that ending."""
    ending = path.suffix.lower()
    return (path.with_suffix(""), ending) if ending in (GZIP, ZSTD) else (path, None)


def bound(packed_bytes: int) -> int:
    """How much a compressed file of this size may hold, bytes."""
    return max(ALWAYS_BYTES, MAX_RATIO * packed_bytes)


def unpack(path: Path, ending: str, target: Path) -> None:
    """What it holds, into `target`. Raises `FormatError` for what is broken, cut off, or larger than the bound."""
    most = left = bound(path.stat().st_size)
    opened, broken = _opener(path, ending)
    try:
        with opened.open(path, "rb") as source, target.open("wb") as plain:
            while piece := source.read(_PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    raise FormatError(
                        f"{path}: it holds more than {most:,} bytes, {MAX_RATIO} times its size: no table is packed so"
                        " densely. If it is one all the same, unpack it first."
                    )
                plain.write(piece)
    except broken as error:
        raise FormatError(f"{path}: its compression is broken: {error}. Is the file whole?") from error


@contextlib.contextmanager
def packing_into(target: IO[bytes], ending: str | None) -> Iterator[IO[bytes]]:
    """A file whose bytes are compressed into `target`; `target` itself without an ending."""
    if ending is None:
        yield target
        return
    # No name and no time in it: the same answers are the same file.
    packer: Any
    if ending == GZIP:
        packer = gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0)
    else:
        packer = _zstd(ending).ZstdFile(target, "wb")
    with packer, io.BufferedWriter(_Through(packer), _PIECE_BYTES) as buffered:
        yield buffered


class _Through(io.RawIOBase):
    """What is written goes on, and the end does not: what comes behind it closes by itself."""

    def __init__(self, target: IO[bytes]) -> None:
        super().__init__()
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._target.write(data)
        return len(data)


def _opener(path: Path, ending: str) -> tuple[Any, tuple[type[Exception], ...]]:
    if ending == GZIP:
        return gzip, (EOFError, gzip.BadGzipFile, zlib.error)
    module = _zstd(str(path))
    return module, (EOFError, module.ZstdError)


def _zstd(what: str) -> ModuleType:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # noqa: PLC0415 - Python 3.14's
    except ImportError:
        try:
            from backports import zstd  # noqa: PLC0415 - the extra
        except ImportError as error:
            raise FormatError(f"{what}: Zstandard needs another package: {how_to_install('zstd')}") from error
    found: ModuleType = zstd
    return found
