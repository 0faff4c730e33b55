"""The content of one OpenAI message as Claude's content blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.messages.faults import fault
from app.messages.media import MediaError, document_source, image_source, is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.messages.calls import Calls


def text_of(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    """The text of a content that is text only."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content)


def blocks_of(message: Mapping[str, Any], place: str, calls: Calls) -> str | list[dict[str, Any]]:
    """A user, assistant or tool message's content: a plain string where it is one, so that it stays as it was sent.

    `place` is the message's (`messages[3]`). Raises `ErrorReply` (400).
    """
    content = message.get("content")
    if message["role"] == "tool":
        result_of = calls.id_of(message["tool_call_id"])
        return [{"type": "tool_result", "tool_use_id": result_of, "content": _result(content, place)}]
    called = message.get("tool_calls") or ()
    if isinstance(content, str) and not called:
        return content
    said = content or message.get("refusal")
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) and said else []
    if isinstance(content, list):
        blocks = _blocks(content, place)
    return blocks + [calls.tool_use(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(called)]


def _result(content: Any, place: str) -> str | list[dict[str, Any]]:
    """What a function gave: one text where it is text only."""
    if isinstance(content, list) and any(part["type"] != "text" for part in content):
        return _blocks(content, place)
    return text_of(content)


def _blocks(parts: Sequence[Mapping[str, Any]], place: str) -> list[dict[str, Any]]:
    return [_block(part, f"{place}.content[{index}]") for index, part in enumerate(parts)]


def _block(part: Mapping[str, Any], place: str) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "image_url":
            return _image(part["image_url"]["url"], f"{place}.image_url")
        case "file":
            return _document(part["file"], f"{place}.file.file_data")
    raise fault(place, f"parts of the type '{part['type']}' are not supported")


def _image(url: str, place: str) -> dict[str, Any]:
    if is_remote(url):
        # The worker fetches it: until then only its place is known.
        return {"type": "image", "source": {"type": "url", "url": url}}
    try:
        return {"type": "image", "source": image_source(url)}
    except MediaError as error:
        raise fault(place, str(error)) from error


def _document(file: Mapping[str, Any], place: str) -> dict[str, Any]:
    name = file.get("filename")
    try:
        source = document_source(file["file_data"], name)
    except MediaError as error:
        raise fault(place, str(error)) from error
    return {"type": "document", "source": source} | ({"title": name} if name else {})
