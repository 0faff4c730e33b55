"""Images that a request names by an https address, fetched and put in its place. Claude gets the bytes, never the address.

The same guard as for callbacks: public addresses only, the checked address is the one connected to, no redirects.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from app import errors
from app.error_codes import ErrorCode
from app.messages import remote_images
from app.messages.media import IMAGE_TYPES, image_type

if TYPE_CHECKING:
    from app.outbound import OutboundClient
    from app.settings import Settings

#: the whole of one image: looking the name up, connecting, receiving, seconds
FETCH_SECONDS = 15.0


def inlined(payload: dict[str, Any], settings: Settings, *, client: OutboundClient | None = None) -> dict[str, Any]:
    """The payload with each https image as a data URL.

    Raises `ErrorReply` (400, naming the part) for an address that is refused, does not answer with an image, or is too big.
    """
    request = payload["request"]
    fetched: dict[str, str] = {}
    messages = [dict(message) for message in request["messages"]]
    for at, part_at, url in remote_images(messages):
        if url not in fetched:
            fetched[url] = _fetch(url, f"messages[{at}].content[{part_at}].image_url", settings, client)
        content = list(messages[at]["content"])
        content[part_at] = {**content[part_at], "image_url": {**content[part_at]["image_url"], "url": fetched[url]}}
        messages[at]["content"] = content
    return {**payload, "request": {**request, "messages": messages}}


def _fetch(url: str, param: str, settings: Settings, client: OutboundClient | None) -> str:
    # A megabyte, for those alone who send addresses.
    from app.outbound import ForbiddenTarget, OutboundClient, OutboundError, check_url  # noqa: PLC0415

    limit = settings.max_image_bytes
    try:
        target = check_url(url, settings.callback_allowed_hosts)
        reply = (client or OutboundClient()).request(
            "GET",
            target,
            headers={"accept": ", ".join(IMAGE_TYPES)},
            timeout_seconds=FETCH_SECONDS,
            max_body_bytes=limit,
        )
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param=param, code=ErrorCode.INVALID_IMAGE_URL) from error
    except OutboundError as error:
        raise _refused(f"the image could not be fetched: {error.kind}", param) from error
    if reply.status != 200:
        raise _refused(f"its server answered {reply.status} (redirects are not followed)", param)
    if not reply.complete:
        raise _refused(f"the image has more than {limit} bytes (NIGHTSHIFT_MAX_IMAGE_BYTES)", param)
    if (kind := image_type(reply.body)) is None:
        label = reply.headers.get("content-type", "")[:80]
        raise _refused(f"its server sent no PNG, JPEG, GIF or WebP image (it is labelled '{label}')", param)
    return f"data:{kind};base64,{base64.b64encode(reply.body).decode()}"


def _refused(reason: str, param: str) -> errors.ErrorReply:
    return errors.invalid_request(f"Invalid '{param}': {reason}.", param=param, code=ErrorCode.INVALID_IMAGE_URL)
