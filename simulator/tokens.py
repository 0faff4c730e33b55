"""How the simulator counts tokens: four characters are one token, so that every count is reproducible."""

import json
from typing import Any

#: Characters that make one token.
CHARACTERS_PER_TOKEN = 4

#: Tokens that an image counts, whatever its size.
IMAGE_TOKENS = 1_500

#: Tokens that a document which is not plain text counts, whatever its size.
DOCUMENT_TOKENS = 3_000


def count(text: str) -> int:
    """Return the number of tokens of ``text``; a begun token counts."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def cut(text: str, tokens: int) -> str:
    """Return the first ``tokens`` tokens of ``text``."""
    return text[: max(tokens, 0) * CHARACTERS_PER_TOKEN]


def count_request(body: dict[str, Any]) -> int:
    """Return the input tokens of a Messages API request: system prompt, messages and tools."""
    total = _count_content(body.get("system"))
    for message in body.get("messages") or []:
        total += 1 + _count_content(message.get("content"))
    tools = body.get("tools")
    return total + (count(json.dumps(tools)) if tools else 0)


def _count_content(content: Any) -> int:
    if isinstance(content, str):
        return count(content)
    if not isinstance(content, list):
        return 0
    return sum(count_block(block) for block in content if isinstance(block, dict))


def count_block(block: dict[str, Any]) -> int:
    """Return the tokens of a content block."""
    source = block.get("source") or {}
    text = ""
    match block.get("type"):
        case "image":
            return IMAGE_TOKENS
        case "document" if source.get("type") != "text":
            return DOCUMENT_TOKENS
        case "document":
            text = source.get("data", "")
        case "tool_result":
            return _count_content(block.get("content"))
        case "tool_use":
            text = json.dumps(block.get("input"))
        case "text" | "thinking" as kind:
            text = block.get(kind, "")
    return count(str(text))
