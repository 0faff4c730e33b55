"""The text completion object, made of a chat completion. Source: OpenAI's API reference, "The completion object"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.openai.completions import as_chat

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the kind of these jobs, the first part of their events' types, and what the object says it is
KIND = "text_completion"


def finished(asked: Mapping[str, Any], number: int, completion: Mapping[str, Any]) -> dict[str, Any]:
    """The text completion with the answer of this number (from 0) alone."""
    choice = completion["choices"][0]
    message = choice["message"]
    before = as_chat.prompt_of(asked, number) if asked.get("echo") else ""
    # What the model says when it refuses is no completion of the text.
    reason = "content_filter" if message.get("refusal") else choice["finish_reason"]
    return {
        "id": completion["id"],
        "object": KIND,
        "created": completion["created"],
        "model": completion["model"],
        "choices": [text_choice(before + (message.get("content") or ""), reason)],
        "usage": completion["usage"],
    }


def text_choice(text: str, finish_reason: str | None) -> dict[str, Any]:
    """One choice, of an object or of a chunk."""
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
