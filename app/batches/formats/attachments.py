"""Files as cells: a column of paths or addresses of images, PDFs and texts, which go before the row's prompt."""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.batches.formats.cells import as_text
from app.batches.formats.columns import nearest
from app.batches.formats.json_file import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_HTTPS = "https://"
_PDF = ".pdf"


@dataclass(frozen=True)
class Attachments:
    """Which columns have files, and where these are. `folder`: of relative paths; None: there are no files here, only addresses.

    A table may be somebody else's: it names no file but those below its folder and `roots`.
    """

    columns: tuple[str, ...]
    folder: Path | None
    roots: tuple[Path, ...]
    #: the bytes at an address, which is not an image's; raises `FormatError`
    fetch: Callable[[str], bytes]
    #: of one file
    max_bytes: int

    def check(self, columns: Collection[str]) -> None:
        """Raises `FormatError` for a column that is not there."""
        for name in self.columns:
            if name not in columns:
                raise FormatError(
                    f"--attach names '{name}', which is no column. {nearest(name, columns)}There are: {', '.join(columns)}."
                )

    def parts(self, row: dict[str, Any], number: int) -> list[dict[str, Any]]:
        """The content parts of a row, in the order of the columns. Raises `FormatError`."""
        found = []
        for column in self.columns:
            for place in _places(row.get(column)):
                try:
                    found.append(self._part(place))
                except (OSError, ValueError, FormatError) as error:
                    why = error.strerror if isinstance(error, OSError) and error.strerror else error
                    raise FormatError(f"row {number}: column '{column}': {place}: {why}") from error
        return found

    def _part(self, place: str) -> dict[str, Any]:
        if "://" in place:
            name = PurePosixPath(urlsplit(place).path).name
            if not place.lower().startswith(_HTTPS):
                raise FormatError("an address begins with https://")
            if not name.lower().endswith(_PDF):
                # The worker fetches an image, by the server's guard.
                return {"type": "image_url", "image_url": {"url": place}}
            return _embedded(name, self.fetch(place))
        if self.folder is None:
            raise FormatError("a table that is not on this machine's disk has addresses (https://), and no paths")
        path = self.folder / place
        if not path.is_file():
            raise FormatError(f"there is no such file in {self.folder}")
        real = path.resolve()
        if not any(real.is_relative_to(root.resolve()) for root in (self.folder, *self.roots)):
            raise FormatError(f"it is not below {self.folder}. --attach-from DIRECTORY allows the files of another.")
        if (size := path.stat().st_size) > self.max_bytes:
            raise FormatError(
                f"it has {size:,} bytes, and a request takes {self.max_bytes:,} (NIGHTSHIFT_MAX_BODY_BYTES)"
            )
        return _embedded(path.name, path.read_bytes())


def _places(value: Any) -> Iterator[str]:
    """A cell's paths or addresses: one a line, or a list of JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    lines = value if isinstance(value, list) else as_text(value).splitlines()
    for line in lines:
        if (place := as_text(line).strip()) != "":
            yield place


def _embedded(name: str, data: bytes) -> dict[str, Any]:
    """Raises `ValueError` for what Claude can't look at."""
    from app.messages import media  # noqa: PLC0415 - few tables have files

    text = base64.b64encode(data).decode()
    kind = media.image_type(data)
    if kind is not None:
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{text}"}}
    label = mimetypes.guess_type(name)[0] or "application/octet-stream"
    url = f"data:{label};base64,{text}"
    try:
        media.document_source(url, name)
    except media.MediaError as error:
        raise ValueError(str(error)) from error
    return {"type": "file", "file": {"filename": name, "file_data": url}}
