"""Text that is empty or white space: one rule, for all places where it can be.

- The user's, a system text that is nothing else, and parts beside others: the Messages API takes none, so a 400 that names
  the place.
- The assistant's: Claude itself says nothing now and then, and takes no such turn back. It is left out, so that the
  conversation can go on.
- An empty system text, and a tool's result that is one text: nothing is asked, and the API takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


def _blank(place: str) -> errors.ErrorReply:
    return errors.invalid_request(
        f"Invalid '{place}': it has to have text. Claude takes none that is empty or only white space.", param=place
    )
