"""Images and files: read by what they are, whatever they are called."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from app.messages.media import MediaError, document_source, image_source

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(64)
GIF = b"GIF89a" + bytes(20)
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "
PDF = b"%PDF-1.7\n"


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        (f"data:image/png;base64,{encoded(PNG)}", "image/png", PNG),
        (f"data:image/jpg;base64,{encoded(JPEG)}", "image/jpeg", JPEG),
        (f"DATA:IMAGE/PNG;BASE64,{encoded(PNG)}", "image/png", PNG),
        (f"data:image/png;charset=utf-8;name=a.png;base64,{encoded(PNG)}", "image/png", PNG),
        (f"data:image/png ; base64,{encoded(PNG)}", "image/png", PNG),
        (f"data:application/octet-stream;base64,{encoded(GIF)}", "image/gif", GIF),
        (f"data:;base64,{encoded(WEBP)}", "image/webp", WEBP),
        (f"data:image/png;base64,{encoded(JPEG)}", "image/jpeg", JPEG),
        (f"data:image/png;base64,{urlsafe_b64encode(PNG).decode().rstrip('=')}", "image/png", PNG),
        (f"data:image/png;base64,{quote(encoded(PNG))}", "image/png", PNG),
        (f"data:image/png;base64,{encoded(PNG)[:76]}\r\n{encoded(PNG)[76:]}\n", "image/png", PNG),
        (f"data:image/gif,{quote(GIF)}", "image/gif", GIF),
    ],
)
def test_an_image_is_what_its_bytes_are(url: str, media_type: str, data: bytes) -> None:
    """Case, parameters, synonyms, a wrong label and the writing of the base64 change nothing."""
    assert image_source(url) == {"type": "base64", "media_type": media_type, "data": encoded(data)}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/a.png", "https URL"),
        ("file:///etc/passwd", "https URL"),
        ("", "https URL"),
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,", "no data"),
        ("data:image/png;base64,!!!", "not valid base64"),
        ("data:image/png;base64,é", "not valid base64"),
        (f"data:image/png;base64,{encoded(b'<html>no image</html>')}", "no PNG, JPEG, GIF or WebP"),
        (f"data:image/svg+xml;base64,{encoded(b'<svg/>')}", "image/svg"),
        (f"data:image/bmp;base64,{encoded(b'BM' + bytes(40))}", "image/bmp"),
        (f"data:application/pdf;base64,{encoded(PDF)}", "application/pdf"),
    ],
)
def test_what_is_no_image_is_refused(url: str, reason: str) -> None:
    """The reason says what is wrong with it."""
    with pytest.raises(MediaError, match=reason):
        image_source(url)


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        (f"data:application/pdf;base64,{encoded(PDF)}", None),
        (f"data:Application/X-PDF;base64,{encoded(PDF)}", "a.pdf"),
        (f"data:application/octet-stream;base64,{encoded(PDF)}", None),
        (encoded(PDF), "a.pdf"),
        (encoded(PDF), None),
    ],
)
def test_a_pdf_is_known_by_its_opening(data: str, filename: str | None) -> None:
    """By whatever label, and as the bare base64 that OpenAI's reference describes."""
    assert document_source(data, filename) == {"type": "base64", "media_type": "application/pdf", "data": encoded(PDF)}


@pytest.mark.parametrize(
    ("data", "filename", "text"),
    [
        (f"data:text/plain;base64,{encoded('grüße'.encode())}", None, "grüße"),
        ("data:text/plain,gr%C3%BC%C3%9Fe", None, "grüße"),
        ("data:,hello", None, "hello"),
        (f"data:text/plain;charset=ISO-8859-1;base64,{encoded('grüße'.encode('latin-1'))}", None, "grüße"),
        (f"data:TEXT/Markdown;base64,{encoded(b'# a')}", "a.md", "# a"),
        ("data:text/csv;base64," + encoded(b"\xef\xbb\xbfa,b"), "a.csv", "a,b"),
        (f"data:application/json;base64,{encoded(b'[1]')}", None, "[1]"),
        (encoded(b"hello"), "notes.txt", "hello"),
    ],
)
def test_text_files_are_read(data: str, filename: str | None, text: str) -> None:
    """Whatever kind of text it is, it goes to Claude as plain text, decoded by its charset."""
    assert document_source(data, filename) == {"type": "text", "media_type": "text/plain", "data": text}


@pytest.mark.parametrize(
    ("data", "filename", "reason"),
    [
        (f"data:application/zip;base64,{encoded(b'PK')}", None, "neither a PDF nor text"),
        (f"data:application/pdf;base64,{encoded(b'no pdf')}", None, "neither a PDF nor text"),
        ("data:text/plain;base64," + encoded(b"\xff\xfe\xfd"), None, "not UTF-8"),
        ("data:text/plain;base64," + encoded(b"a\x00b"), None, "NUL"),
        ("data:text/plain;charset=rot13,hello", None, "charset 'rot13'"),
        ("data:text/plain;charset=nonsense,hello", None, "charset 'nonsense'"),
        ("data:text/plain,%20%0A", None, "without text"),
        ("data:text/plain;base64,", None, "no data"),
        ("file-abc", "a.pdf", "base64"),
        (encoded(b"\x00\x01"), "a.bin", "neither a PDF nor text"),
    ],
)
def test_other_files_are_refused(data: str, filename: str | None, reason: str) -> None:
    """Nothing is guessed: neither a charset, nor that bytes are text."""
    with pytest.raises(MediaError, match=reason):
        document_source(data, filename)
