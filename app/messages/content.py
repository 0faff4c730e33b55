"""The content of one OpenAI message as Claude's content blocks."""

from __future__ import annotations

import re
from typing import Any

from app import errors
from app.messages import tools

_DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]+);base64,(?P<data>.*)", re.DOTALL)
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def text_of(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a content that can only be text: a system message, a tool's result."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if part["type"] in ("text", "refusal"))


def blocks_of(message: dict[str, Any]) -> str | list[dict[str, Any]]:
    """A user, assistant or tool message's content: a plain string where it is one, so that it stays as it was sent."""
    if message["role"] == "tool":
        result_of = tools.call_id(message["tool_call_id"])
        return [{"type": "tool_result", "tool_use_id": result_of, "content": text_of(message["content"])}]
    content = message.get("content")
    calls = message.get("tool_calls") or []
    if isinstance(content, str) and not calls:
        return content
    said = content or message.get("refusal")
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) and said else []
    if isinstance(content, list):
        blocks = [_block(part) for part in content]
    return blocks + [tools.tool_use(call) for call in calls]


def _block(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "image_url":
            return _image(part["image_url"]["url"])
        case "file":
            return _document(part["file"])
    raise errors.invalid_request(f"Content parts of type '{part['type']}' are not supported.", param="messages")


def _image(url: str) -> dict[str, Any]:
    found = _DATA_URL.fullmatch(url)
    if found is None or found["type"] not in _IMAGE_TYPES:
        raise errors.invalid_request(
            f"image_url takes a data URL (data:image/png;base64,…) of {', '.join(_IMAGE_TYPES)}.", param="messages"
        )
    return {"type": "image", "source": {"type": "base64", "media_type": found["type"], "data": found["data"]}}


def _document(file: dict[str, Any]) -> dict[str, Any]:
    found = _DATA_URL.fullmatch(file.get("file_data") or "")
    if found is None or found["type"] != "application/pdf":
        raise errors.invalid_request(
            "file takes file_data as a data URL of a PDF (data:application/pdf;base64,…).", param="messages"
        )
    block = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": found["data"]}}
    return block | ({"title": file["filename"]} if file.get("filename") else {})
