"""A text completion's request as chat requests that mean the same, one for each prompt, and their answers as its object.

So there is one way to Claude, and one set of checks. Source: OpenAI's API reference, "The completion object".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.openai.completions.request import MAX_TOKENS
from app.openai.responses.as_chat import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.errors import ErrorReply

#: the kind of these jobs, the first part of their events' types, and what the object says it is
KIND = "text_completion"


def prompts(asked: Mapping[str, Any]) -> list[str]:
    """Of the request as it is kept."""
    prompt = asked["prompt"]
    return [prompt] if isinstance(prompt, str) else list(prompt)


def answers(asked: Mapping[str, Any]) -> int:
    """How many answers it wants: `n` to each prompt."""
    return len(prompts(asked)) * int(asked.get("n", 1))


def prompt_of(asked: Mapping[str, Any], number: int) -> str:
    """The prompt of an answer, counted from 0: the first `n` are to the first prompt, as at OpenAI."""
    return prompts(asked)[number // int(asked.get("n", 1))]


def chat_request(asked: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
    """The chat request's JSON for one answer, counted from 0."""
    chat = {name: asked[name] for name in ("model", "temperature", "top_p", "stop") if name in asked}
    chat["max_tokens"] = asked.get("max_tokens", MAX_TOKENS)
    chat["messages"] = [{"role": "user", "content": prompt_of(asked, number)}]
    return chat


def in_its_words(error: ErrorReply, asked: Mapping[str, Any], number: int) -> ErrorReply:
    """An error about the chat request of one answer as one about the completion's: the prompt is named by its index."""
    if not (error.param or "").startswith("messages"):
        return error
    is_list = not isinstance(asked["prompt"], str)
    return renamed(error, f"prompt[{number // int(asked.get('n', 1))}]" if is_list else "prompt")


def finished(asked: Mapping[str, Any], number: int, completion: Mapping[str, Any]) -> dict[str, Any]:
    """The text completion with the answer of this number (from 0) alone."""
    choice = completion["choices"][0]
    message = choice["message"]
    before = prompt_of(asked, number) if asked.get("echo") else ""
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
