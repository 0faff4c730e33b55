"""What `NIGHTSHIFT_STORAGE` may say: where the bytes of files and batches are."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

_OBJECT_STORES = ("s3", "gs", "az")


class StorageUrlError(ValueError):
    """Says what is taken, and not what was given: that may have a password in it."""


def read(text: str) -> str:
    """The URL as it is. Raises `StorageUrlError`."""
    parts = urlsplit(text)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or parts.path == "/":
            raise StorageUrlError("takes an absolute path after file://, such as file:///srv/nightshift")
        return text
    if parts.scheme not in _OBJECT_STORES or not parts.netloc:
        raise StorageUrlError(
            "takes file:///DIRECTORY, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StorageUrlError("takes no login and no option: these are variables of their own (docs/storage.md)")
    return text.rstrip("/")


def is_object_store(url: str) -> bool:
    """Whether a URL that was read names one."""
    return url.partition("://")[0] in _OBJECT_STORES


def directory(url: str) -> Path | None:
    """Of one that was read, the directory; None: it names none."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
