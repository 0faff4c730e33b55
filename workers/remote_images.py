"""Images that a request names by an https address, fetched and put in its place. Claude gets the bytes, never the address.

The same guard as for callbacks: public addresses only, the checked address is the one connected to, no redirects.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from app import errors
from app.error_codes import ErrorCode
from app.messages.media import IMAGE_TYPES, image_type, is_remote

if TYPE_CHECKING:
    from app.outbound import OutboundClient, Resolver
    from app.settings import Settings

#: the whole of one image: looking the name up, connecting, receiving, seconds
FETCH_SECONDS = 15.0


def inlined(
    payload: dict[str, Any],
    settings: Settings,
    *,
    client: OutboundClient | None = None,
    resolver: Resolver | None = None,
) -> dict[str, Any]:
    """The payload with each https image as a data URL; the very same one where there is none.

    Raises `ErrorReply` (400, naming the part) for an address that is refused, does not answer with an image, or is too big.
    """
    request = payload["request"]
    places = list(_remote(request.get("messages", ())))
    if not places:
        return payload
    fetched: dict[str, str] = {}
    messages = [dict(message) for message in request["messages"]]
    for at, part_at, url in places:
        if url not in fetched:
            param = f"messages[{at}].content[{part_at}].image_url"
            fetched[url] = _fetch(url, param, settings, client, resolver)
        content = list(messages[at]["content"])
        content[part_at] = {**content[part_at], "image_url": {**content[part_at]["image_url"], "url": fetched[url]}}
        messages[at]["content"] = content
    return {**payload, "request": {**request, "messages": messages}}


def _remote(messages: Any) -> Any:
    """(message, part, url) of each image that has to be fetched."""
    for at, message in enumerate(messages):
        content = message.get("content")
        for part_at, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] == "image_url" and is_remote(part["image_url"]["url"]):
                yield at, part_at, part["image_url"]["url"]


def _fetch(url: str, param: str, settings: Settings, client: OutboundClient | None, resolver: Resolver | None) -> str:
    # A megabyte, for those alone who send addresses.
    from app.outbound import (  # noqa: PLC0415
        ForbiddenTarget,
        OutboundClient,
        OutboundError,
        check_url,
        system_resolver,
    )

    limit = settings.max_image_bytes
    try:
        target = check_url(url, settings.callback_allowed_hosts, resolver=resolver or system_resolver)
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
