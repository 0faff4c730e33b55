"""The file that a user names, wherever it is: on the disk, in a pipe (`-`), behind an `https://` address or in an object store, packed or not.

A table is read twice, for its requests and for the server to keep it. So it is copied first, and is the same both times.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urljoin, urlsplit

from cyclopts import Parameter, Token

from app.batches.formats import packed
from app.batches.formats.json_file import FormatError
from app.settings import Settings
from ops.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from app.outbound import CheckedTarget

PIPE = "-"
_PLAIN = "plain"
FETCH_SECONDS = 600.0
MAX_REDIRECTS = 5
_STORES = ("s3", "gs", "az")
_RANGE_BYTES = 4 * 1024 * 1024


class Url(str):
    """The address of a file that is fetched."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(urlsplit(self).path).name or "table"


def _named(_: type, tokens: Sequence[Token]) -> Path | Url:
    value = tokens[0].value
    return Url(value) if "://" in value else Path(value)


Place = Path | Url
FilePath = Annotated[
    Place,
    Parameter(
        name="FILE",
        converter=_named,
        allow_leading_hyphen=True,
        help="OpenAI's JSONL; or a table with --template: CSV, TSV, JSON, XLSX, Parquet, Arrow, lines of text, all of them as .gz or .zst,"
        " too; - for standard input; or an https:// address; or s3://, gs:// or az://",
    ),
]


@dataclass(frozen=True)
class Taken:
    """The file, unpacked."""

    path: Path
    #: as the server is to call it
    name: str


@contextlib.contextmanager
def taken(place: Place) -> Iterator[Taken]:
    """A copy that nobody changes. In messages of a `FormatError` it has the user's name for it."""
    with tempfile.TemporaryDirectory(prefix="nightshift-") as directory:
        original = Path(directory) / "original"
        with original.open("wb") as target:
            if isinstance(place, Url) and urlsplit(place).scheme in _STORES:
                _read_object(place, target)
            elif isinstance(place, Url):
                _fetch(place, target, Settings.from_environment().max_file_bytes)
            elif str(place) == PIPE:
                shutil.copyfileobj(sys.stdin.buffer, target)
            else:
                _copy(place, target)
        try:
            yield Taken(_unpacked(original), packed.split(Path(name_of(place)))[0].name)
        except FormatError as error:
            ours = rf"{re.escape(directory)}(/{_PLAIN})?/{original.name}"
            raise FormatError(re.sub(ours, lambda _: shown(place), str(error))) from error


def _unpacked(path: Path) -> Path:
    """What a file holds, beside it where it is packed. Raises `FormatError`."""
    ending = packed.packing(path)
    if ending is None:
        return path
    plain = path.parent / _PLAIN / path.name
    plain.parent.mkdir()
    packed.unpack(path, ending, plain)
    return plain


def shown(place: Place) -> str:
    """For people."""
    return "standard input" if str(place) == PIPE else str(place)


def name_of(place: Place) -> str:
    """As the server is to call it."""
    return "table" if str(place) == PIPE else place.name


def _copy(path: Path, target: IO[bytes]) -> None:
    before = path.stat()
    with path.open("rb") as file:
        shutil.copyfileobj(file, target)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise FormatError(
            f"{path}: it was changed while it was read. Submit it again when it is whole; nothing was made."
        )


def _read_object(url: str, target: IO[bytes]) -> None:
    """Raises `FormatError`."""
    from app.batches.storage.bucket import Bucket, Conflict  # noqa: PLC0415 - seldom needed, and an extra

    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    bucket = Bucket(f"{parts.scheme}://{parts.netloc}")
    most = Settings.from_environment().max_file_bytes
    try:
        found = bucket.head(path)
        if found is None:
            raise FormatError(f"{url}: there is no such object.")
        size, version = found
        if size > most:
            raise FormatError(f"{url}: it has more than {most:,} bytes (NIGHTSHIFT_MAX_FILE_BYTES).")
        for start in range(0, size, _RANGE_BYTES):
            target.write(bucket.get(path, start, min(size, start + _RANGE_BYTES), only=version).data)
    except Conflict as error:
        raise FormatError(f"{url}: it was changed while it was read. Submit it again; nothing was made.") from error
    except OSError as error:
        raise FormatError(f"{url}: {error.strerror or error}.") from error


def fetched(url: str) -> bytes:
    """What is at an address, of the size of a request at most. Raises `FormatError`."""
    target = io.BytesIO()
    _fetch(url, target, Settings.from_environment().max_body_bytes)
    return target.getvalue()


def _fetch(url: str, target: IO[bytes], most: int) -> None:
    """Raises `FormatError`; by its own account no part of it was used then."""
    from app.outbound import ForbiddenTarget, OutboundClient, OutboundError  # noqa: PLC0415 - seldom needed

    settings = Settings.from_environment()
    client, at = OutboundClient(), url
    for _ in range(MAX_REDIRECTS + 1):
        via = "" if at == url else f" It redirects to {at}."
        try:
            checked = _checked(at, settings.callback_allowed_hosts)
            reply = client.request(
                "GET",
                checked,
                headers={"accept": "*/*", "accept-encoding": "identity"},
                timeout_seconds=FETCH_SECONDS,
                max_body_bytes=most,
                into=target,
            )
        except ForbiddenTarget as error:
            raise FormatError(f"{url}: {error}{via}") from error
        except OutboundError as error:
            raise FormatError(f"{url}: it could not be fetched: {error.kind}.{via}") from error
        if reply.status in (301, 302, 303, 307, 308) and (location := reply.headers.get("location")):
            at = urljoin(at, location)
            continue
        if reply.status != 200:
            raise FormatError(f"{url}: its server answered {reply.status}.{via}")
        if not reply.complete:
            raise FormatError(
                f"{url}: it has more than {most:,} bytes (NIGHTSHIFT_MAX_FILE_BYTES; of a file for a prompt:"
                f" NIGHTSHIFT_MAX_BODY_BYTES), or its end did not come.{via}"
            )
        return
    raise FormatError(f"{url}: it redirects more than {MAX_REDIRECTS} times.")


def _checked(url: str, allowed_hosts: tuple[str, ...]) -> CheckedTarget:
    """By `https`; `http` is for hosts that the settings allow. Raises `ForbiddenTarget`."""
    from app.outbound import ForbiddenTarget, check_url  # noqa: PLC0415 - as above

    checked = check_url(url, allowed_hosts)
    if checked.scheme != "https":
        with contextlib.suppress(ForbiddenTarget):
            check_url(url, ())
            options.fail(f"{url}: tables are fetched by https:// only.")
    return checked
