"""What the Messages API checks of an image or a document: its media type, its base64, and what its bytes are."""

import base64
import binascii
from typing import Any

from simulator.errors import ApiError

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
#: How each kind of image begins: https://mimesniff.spec.whatwg.org/#image-type-pattern-matching-algorithm.
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
#: Where a PNG names its first chunk, and its width and height.
_PNG_HEADER = slice(12, 16)
_PNG_WIDTH, _PNG_HEIGHT = slice(16, 20), slice(20, 24)
MAX_PIXELS = 8000


def check_source(block: dict[str, Any], place: str) -> None:
    """Check the ``source`` of an image or document block at ``place``, such as ``messages.0.content.1``.

    Raises:
        ApiError: 400 for what the API can't read. Sources that it would fetch are taken as they are.
    """
    kind = str(block["type"])
    source = block.get("source")
    if not isinstance(source, dict):
        raise ApiError(400, f"{place}.{kind}.source: Field required")
    if kind == "document" and source.get("type") == "text":
        if source.get("media_type") != "text/plain":
            raise ApiError(400, f"{place}.document.source.text.media_type: Input should be 'text/plain'")
        if not str(source.get("data", "")).strip():
            raise ApiError(400, f"{place}.document.source.text.data: document source text must be non-empty")
    elif source.get("type") == "base64":
        place = f"{place}.{kind}.source.base64"
        data = _decoded(source.get("data"), place)
        check = _check_image if kind == "image" else _check_pdf
        check(source.get("media_type"), data, place)


def _decoded(data: Any, place: str) -> bytes:
    try:
        found = base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ApiError(400, f"{place}.data: invalid base64 data") from error
    if not found:
        raise ApiError(400, f"{place}.data: must be non-empty")
    return found


def _check_image(named: Any, data: bytes, place: str) -> None:
    if named not in _IMAGE_TYPES:
        raise ApiError(
            400, f"{place}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        )
    found = _image_type(data)
    if found is None:
        raise ApiError(400, "Could not process image")
    if found != named:
        raise ApiError(
            400,
            f"{place}: The image was specified using the {named} media type, but the image appears to be a {found} image",
        )
    if found == "image/png":
        sides = [int.from_bytes(data[part]) for part in (_PNG_WIDTH, _PNG_HEIGHT)]
        if data[_PNG_HEADER] != b"IHDR" or 0 in sides:
            raise ApiError(400, "Could not process image")
        if max(sides) > MAX_PIXELS:
            raise ApiError(
                400,
                f"{place}.data: At least one of the image dimensions exceed max allowed size: {MAX_PIXELS} pixels",
            )


def _image_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for opening, kind in _SIGNATURES.items() if data.startswith(opening)), None)


def _check_pdf(named: Any, data: bytes, place: str) -> None:
    if named != "application/pdf":
        raise ApiError(400, f"{place}.media_type: Input should be 'application/pdf'")
    if b"%PDF-" not in data[:1024]:
        raise ApiError(400, f"{place}.data: The PDF specified was not valid.")
