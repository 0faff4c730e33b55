"""What the bytes of an image or a file are, and the source that the Messages API takes for them.

Labels are hints: clients write `image/jpg`, `IMAGE/PNG`, a charset, `application/octet-stream`, or png where a JPEG is.
The API refuses a label that the bytes belie, so for images and PDFs the bytes decide. The form of data URLs is read
as browsers do: https://fetch.spec.whatwg.org/#data-url-processor; images are known by https://mimesniff.spec.whatwg.org.
"""

from __future__ import annotations

import binascii
import codecs
import mimetypes
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

#: what Claude looks at
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
PDF = "application/pdf"
#: a PDF's `%PDF-` is within this many bytes
_PDF_WITHIN = 1024
#: characters of base64 that hold them
_HEAD_BASE64 = 1368
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
#: types beside `text/...` whose bytes are text
_TEXT_TYPES = frozenset(
    {"application/json", "application/jsonl", "application/x-ndjson", "application/xml", "application/yaml"}
    | {"application/x-yaml", "application/toml", "application/javascript", "application/sql", "application/x-sh"}
)
_TEXT_ENDINGS = ("+json", "+xml", "+yaml")
#: what a text may be encoded in; others are refused rather than guessed
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16"})
_NAMES = mimetypes.MimeTypes()
_MAX_SHOWN = 60


class MediaError(ValueError):
    """It is nothing that Claude can look at. The message says why and ends a sentence that begins with the parameter."""


@dataclass(frozen=True)
class _Sent:
    """What was sent: `base64` as the API takes it, or `plain` bytes."""

    label: str
    charset: str
    base64: str = ""
    plain: bytes = b""

    def head(self) -> bytes:
        """The first bytes: large data is not decoded for its kind."""
        return binascii.a2b_base64(self.base64[:_HEAD_BASE64]) if self.base64 else self.plain[:_PDF_WITHIN]

    def data(self) -> bytes:
        """All of it."""
        return binascii.a2b_base64(self.base64) if self.base64 else self.plain

    def as_base64(self) -> str:
        """All of it."""
        return self.base64 or binascii.b2a_base64(self.plain, newline=False).decode()


def is_remote(url: str) -> bool:
    """Whether the image has to be fetched."""
    return url[:8].lower() == "https://"


def image_source(url: str) -> dict[str, Any]:
    """The `source` of an image block, of a data URL. Raises `MediaError`."""
    if not _is_data_url(url):
        raise MediaError("must be an https URL, or a data URL such as 'data:image/png;base64,...'")
    sent = _read(url)
    found = image_type(sent.head())
    if found is None:
        raise MediaError(f"is no PNG, JPEG, GIF or WebP image (it is labelled '{sent.label[:_MAX_SHOWN]}')")
    return {"type": "base64", "media_type": found, "data": sent.as_base64()}


def document_source(file_data: str, filename: str | None = None) -> dict[str, Any]:
    """The `source` of a document block: of a PDF, or of text. Takes a data URL, or base64 alone. Raises `MediaError`."""
    sent = _read(file_data) if _is_data_url(file_data) else _bare(file_data, filename)
    if b"%PDF-" in sent.head():
        return {"type": "base64", "media_type": PDF, "data": sent.as_base64()}
    if not _is_text(sent.label):
        raise MediaError(
            f"is neither a PDF nor text (it is labelled '{sent.label[:_MAX_SHOWN]}'): send a data URL such as"
            " 'data:application/pdf;base64,...' or 'data:text/plain;base64,...'"
        )
    text = _text(sent)
    if not text.strip():
        raise MediaError("is a file without text")
    return {"type": "text", "media_type": "text/plain", "data": text}


def image_type(data: bytes) -> str | None:
    """The media type of an image's bytes; None: none that Claude takes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for opening, kind in _SIGNATURES.items() if data.startswith(opening)), None)


def _is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def _read(url: str) -> _Sent:
    head, comma, rest = url[5:].partition(",")
    if not comma:
        raise MediaError("is a data URL without a comma, and so without data")
    label, *options = [part.strip().lower() for part in head.split(";")]
    named = dict(option.partition("=")[::2] for option in options)
    charset = named.get("charset", "").strip("\"'")
    if "base64" not in options[-1:]:
        return _Sent(label or "text/plain", charset, plain=unquote_to_bytes(rest))
    return _Sent(label or "text/plain", charset, base64=_base64(rest))


def _bare(file_data: str, filename: str | None) -> _Sent:
    text = _base64(file_data)
    label = (_NAMES.guess_type(filename, strict=False)[0] if filename else None) or "application/octet-stream"
    return _Sent(label, "", base64=text)


def _base64(data: str) -> str:
    """The base64 as the API takes it: without breaks, in the standard alphabet, padded."""
    if "%" in data:
        data = unquote(data)
    if not _is_base64(data):
        data = "".join(data.split()).rstrip("=").replace("-", "+").replace("_", "/")
        data += "=" * (-len(data) % 4)
        if not _is_base64(data):
            raise MediaError("is not valid base64")
    if not data:
        raise MediaError("has no data")
    return data


def _is_base64(data: str) -> bool:
    """Whether it can be decoded: a third of the time that decoding takes."""
    if len(data) % 4 or not data.isascii():
        return False
    rest = data.encode().translate(None, _ALPHABET)
    return rest in (b"", b"=", b"==") and data.endswith(rest.decode())


def _is_text(label: str) -> bool:
    return label.startswith("text/") or label in _TEXT_TYPES or label.endswith(_TEXT_ENDINGS)


def _text(sent: _Sent) -> str:
    try:
        charset = codecs.lookup(sent.charset or "utf-8").name
    except LookupError:
        charset = ""
    if charset not in _CHARSETS:
        raise MediaError(f"is text in the charset '{sent.charset[:_MAX_SHOWN]}': send it in UTF-8")
    try:
        text = sent.data().decode("utf-8-sig" if charset == "utf-8" else charset)
    except UnicodeDecodeError:
        raise MediaError(f"is labelled as text, and its bytes are not {sent.charset.upper() or 'UTF-8'}") from None
    if "\0" in text:
        raise MediaError("is labelled as text, and has NUL characters")
    return text
