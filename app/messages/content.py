"""The content of one OpenAI message as Claude's content blocks.

Text that is empty or white space follows one rule, wherever it is:

- The user's, a system text that is nothing else, and parts beside others: the Messages API takes none, so a 400 that names
  the place.
- The assistant's: Claude itself says nothing now and then, and takes no such turn back. It is left out, so that the
  conversation can go on.
- An empty system text, and a tool's result that is one text: nothing is asked, and the API takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import invalid_request, invalid_value
from app.messages.media import MediaError, document_source, image_source, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.errors import ErrorReply
    from app.messages.conversation import Calls


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
    raise invalid_value(place, f"parts of the type '{part['type']}' are not supported")


def _image(url: str, place: str) -> dict[str, Any]:
    if is_remote(url):
        # The worker fetches it: until then only its place is known.
        return {"type": "image", "source": {"type": "url", "url": url}}
    try:
        return {"type": "image", "source": image_source(url)}
    except MediaError as error:
        raise invalid_value(place, str(error)) from error


def _document(file: Mapping[str, Any], place: str) -> dict[str, Any]:
    name = file.get("filename")
    try:
        source = document_source(file["file_data"], name)
    except MediaError as error:
        raise invalid_value(place, str(error)) from error
    return {"type": "document", "source": source} | ({"title": name} if name else {})


#: where a part has its text
_TEXTS = ("text", "refusal")


def without_blank(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a chat request, at their places, without the assistant's blank texts. Raises `ErrorReply` (400)."""
    _check_system(messages)
    return [_checked(message, f"messages[{index}].content") for index, message in enumerate(messages)]


def _checked(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    content = message.get("content")
    if message["role"] == "assistant":
        return {**message, **{name: _said(message[name]) for name in ("content", "refusal") if name in message}}
    if message["role"] == "user" and isinstance(content, str) and not content.strip():
        raise _blank(place)
    if isinstance(content, list) and _is_sent_in_parts(message["role"], content):
        for index, part in enumerate(content):
            if part["type"] == "text" and not part["text"].strip():
                raise _blank(f"{place}[{index}].text")
    return {**message}


def _is_sent_in_parts(role: str, parts: Iterable[Mapping[str, Any]]) -> bool:
    """System texts, and results that are text only, are joined to one text."""
    return role == "user" or (role == "tool" and any(part["type"] != "text" for part in parts))


def _said(content: Any) -> Any:
    """What the assistant has said; None: nothing."""
    if isinstance(content, str):
        return content if content.strip() else None
    if content is None:
        return None
    return [part for part in content if "".join(part.get(name) or "" for name in _TEXTS).strip()] or None


def _check_system(messages: Iterable[Mapping[str, Any]]) -> None:
    """Several are joined, so that one of them may be blank."""
    first, has_words = "", False
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            content = message["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            has_words |= bool(text.strip())
            first = first or (f"messages[{index}].content" if text else "")
    if first and not has_words:
        raise _blank(first)


def _blank(place: str) -> ErrorReply:
    return invalid_request(
        f"Invalid '{place}': it has to have text. Claude takes none that is empty or only white space.", param=place
    )
