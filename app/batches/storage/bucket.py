"""Requests to an object store, S3, Google's or Azure's, and their failures as `OSError`s. The one module that uses obstore.

obstore has threads of its own and is not safe across forks: calls in a forked process never come back. A bucket is made at its
first request, in a process that forks no other afterwards (starting a program is none: it replaces what was forked), and refuses
to be used in any other process.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.batches.storage.protocol import StorageError
from app.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

#: one try of a request with its body, and how long after the first another may begin, seconds: of a request of a few MB, and of
#: all that moves a whole file, the abort included. All tries take both together at most
_QUICK_SECONDS, _PATIENT_SECONDS = (10, 15), (120, 150)
_CONNECT_SECONDS = 3
_RETRIES = 2
#: of a large upload, bytes; a part is in memory until it is sent, and while it is
PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2
#: names that one request deletes at most
_DELETE_AT_ONCE = 1000


class Conflict(Exception):
    """There is an object of that name, or another one than the version that was to be replaced: nothing was written."""


@dataclass(frozen=True)
class Version:
    """What one write of an object is known by."""

    e_tag: str | None
    version: str | None


@dataclass(frozen=True)
class Found:
    """An object, or the range of it that was asked for. `size`: of the whole object, bytes."""

    data: bytes
    size: int
    version: Version
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Listed:
    """An object in a list. `modified_at`: by the store's clock, seconds since the epoch."""

    path: str
    size: int
    modified_at: float


class Bucket:
    """All objects below a URL such as `s3://BUCKET/PREFIX`; their paths are relative to it. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pid = 0
        self._quick: Any = None
        self._patient: Any = None

    def get(self, path: str, start: int = 0, end: int | None = None, *, only: Version | None = None) -> Found:
        """Its bytes from `start` to `end`, fewer where it is shorter. `only`: that version. Raises `FileNotFoundError`, `Conflict`."""
        options: dict[str, Any] = {}
        if end is not None:
            options["range"] = (start, end)
        if only is not None and only.e_tag:
            options["if_match"] = only.e_tag
        try:
            result = self._obstore().get(self._quick, path, options=options)
            data = bytes(result.bytes())
        except Exception as error:
            raise self.failure(error, path) from error
        return Found(data, result.meta["size"], _version(result.meta), dict(result.attributes))

    def head(self, path: str) -> tuple[int, Version] | None:
        """Its size and version; None where there is none."""
        try:
            meta = self._obstore().head(self._quick, path)
        except Exception as error:
            failure = self.failure(error, path)
            if isinstance(failure, FileNotFoundError):
                return None
            raise failure from error
        return meta["size"], _version(meta)

    def put(
        self, path: str, data: bytes, replaces: Version | None = None, *, attributes: Mapping[str, str] | None = None
    ) -> Version:
        """A new object, or another in the place of that version. Raises `Conflict`: also of a write that is its own, whose answer was lost."""
        mode: Any = "create"
        if replaces is not None:
            known = {"e_tag": replaces.e_tag, "version": replaces.version}
            mode = {name: value for name, value in known.items() if value is not None}
        return self._put(path, data, mode, attributes)

    def overwrite(self, path: str, data: bytes) -> None:
        """An object, in the place of whatever is there."""
        self._put(path, data, "overwrite", None)

    def _put(self, path: str, data: bytes, mode: Any, attributes: Mapping[str, str] | None) -> Version:
        obstore = self._obstore()
        store = self._quick if len(data) <= PART_BYTES else self._patient
        given = dict(attributes) if attributes else None
        try:
            result = obstore.put(store, path, data, mode=mode, attributes=given, use_multipart=False)
        except Exception as error:
            raise self.failure(error, path) from error
        return _version(result)

    def upload(self, path: str) -> Upload:
        """For an object of any size, sent while it is written."""
        writer = self._obstore().open_writer(
            self._patient, path, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )
        return Upload(self, path, writer)

    def copy(self, source: str, target: str) -> None:
        """Within the store. Raises `FileNotFoundError`."""
        try:
            self._obstore().copy(self._patient, source, target)
        except Exception as error:
            raise self.failure(error, source) from error

    def delete(self, paths: Sequence[str]) -> None:
        """Those that are there."""
        obstore = self._obstore()
        for begin in range(0, len(paths), _DELETE_AT_ONCE):
            some = list(paths[begin : begin + _DELETE_AT_ONCE])
            try:
                obstore.delete(self._quick, some)
            except Exception as error:
                failure = self.failure(error, paths[begin])
                if not isinstance(failure, FileNotFoundError):
                    raise failure from error
                # One is not there, at which all stores but S3's stop: those after it may be.
                if len(some) > 1:
                    for path in some:
                        self.delete([path])

    def list(self, folder: str) -> Iterator[Listed]:
        """All objects below that path."""
        try:
            for chunk in self._obstore().list(self._quick, folder):
                for one in chunk:
                    yield Listed(one["path"], one["size"], one["last_modified"].timestamp())
        except Exception as error:
            raise self.failure(error, folder) from error

    def _obstore(self) -> ModuleType:
        """The module. The first call makes the clients, which belong to this process from then on."""
        try:
            import obstore  # noqa: PLC0415 - an extra; and no process that forks may have used it
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError as error:
            raise StorageError(
                errno.ENOPKG, f"an object store needs the extra `storage`: {how_to_install('storage')}"
            ) from error
        if not self._pid:
            try:
                self._quick, self._patient = (
                    from_url(
                        self.url,
                        # Plain HTTP only where the endpoint's own URL says so.
                        client_options={
                            "allow_http": True,
                            "timeout": f"{one}s",
                            "connect_timeout": f"{_CONNECT_SECONDS}s",
                        },
                        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=every)},
                    )
                    for one, every in (_QUICK_SECONDS, _PATIENT_SECONDS)
                )
            except Exception as error:
                raise self.failure(error, "") from error
            self._pid = os.getpid()
        if self._pid != os.getpid():
            raise RuntimeError(f"this storage was opened by process {self._pid}: after a fork it can't be used")
        return obstore

    def failure(self, error: Exception, path: str) -> Exception:
        """As an `OSError` for people, or `Conflict`; what is none of obstore's as it is."""
        kind, text = type(error).__name__, str(error)
        is_missing = isinstance(error, FileNotFoundError)  # Python's own, and so is that of a bucket
        if isinstance(error, StorageError) or not (is_missing or type(error).__module__.startswith("obstore")):
            return error
        if kind in ("AlreadyExistsError", "PreconditionError"):
            return Conflict(path)
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return StorageError(errno.ENODEV, f"there is no bucket for {self.url}")
        if is_missing:
            return FileNotFoundError(errno.ENOENT, f"{path} is not in {self.url}")
        if _METADATA_SERVICE in text:
            return StorageError(errno.EACCES, f"there is no login for {self.url}: set its variables (docs/storage.md)")
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            return StorageError(errno.EACCES, f"{self.url} does not allow it: {_words(text)}")
        if _FULL.search(text):
            return StorageError(errno.ENOSPC, f"{self.url} is full: {_words(text)}")
        return StorageError(errno.EIO, f"{self.url} does not answer as it should: {_words(text)}")


class Upload:
    """A large object under way. Until `close` there is nothing of that name, or what was there."""

    def __init__(self, bucket: Bucket, path: str, writer: Any) -> None:
        self._bucket = bucket
        self._path = path
        self._writer = writer

    def write(self, data: bytes) -> None:
        """More of it."""
        try:
            self._writer.write(data)
        except Exception as error:
            raise self._bucket.failure(error, self._path) from error

    def close(self) -> None:
        """It is there, whole."""
        try:
            self._writer.close()
        except Exception as error:
            raise self._bucket.failure(error, self._path) from error

    def abort(self) -> None:
        """Nothing of it stays."""
        try:
            reason = RuntimeError("not wanted")
            self._writer.__exit__(RuntimeError, reason, None)
        except Exception as error:
            raise self._bucket.failure(error, self._path) from error


#: where a cloud's own machines get a login when no variable has one
_METADATA_SERVICE = "169.254.169.254"
#: how stores say that they take no more
_FULL = re.compile(r"\b507\b|QuotaExceeded|StorageFull|InsufficientStorage|EntityTooLarge", re.IGNORECASE)
_CODE = re.compile(r"<Code>([^<]+)</Code>(?:.*?<Message>([^<]+)</Message>)?", re.DOTALL)
#: a signature in a URL is as good as a password
_QUERY = re.compile(r"\?[^\s\"']+")


def _words(text: str) -> str:
    """What matters of an error's text, in one line."""
    if (found := _CODE.search(text)) is not None:
        return ": ".join(part for part in found.groups() if part)[:300]
    first = text.split("\n\nDebug source", maxsplit=1)[0]
    return _QUERY.sub("?...", " ".join(first.split()))[:300]


def _version(found: Any) -> Version:
    return Version(found.get("e_tag"), found.get("version"))
