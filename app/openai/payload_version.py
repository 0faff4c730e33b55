"""The oldest workers that can run a chat request: in the midst of a restart there are some of the code before."""

from __future__ import annotations

from typing import Any

#: since then results of functions may have images and files, files may be text, stop sequences white space, and a
#: conversation may be instructions only: before, the first were dropped, and the others a 400
_RICHER_REQUESTS = 3


def oldest_version(request: dict[str, Any]) -> int:
    """`JobRecord.version` of a job with this request, JSON as it was accepted."""
    stop = request.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else stop
    messages = request["messages"]
    is_richer = (
        any(not one.strip() for one in stops)
        or all(message["role"] in ("system", "developer") for message in messages)
        or any(_has_richer_parts(message) for message in messages)
    )
    return _RICHER_REQUESTS if is_richer else 1


def _has_richer_parts(message: dict[str, Any]) -> bool:
    content = message.get("content")
    kinds = {part["type"] for part in content} if isinstance(content, list) else set()
    return "file" in kinds or (message["role"] == "tool" and "image_url" in kinds)
