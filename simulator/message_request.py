"""A Messages API request as the rest of the simulator reads it."""

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simulator import tokens

#: Openings of the text blocks that the CLI adds to the user's own; they are no part of what the user said.
CLI_BLOCK_OPENINGS = ("<system-reminder>", "<command-name>", "<local-command-")

#: The tool by which the CLI collects a structured answer, and its name where the request is asked without the CLI.
STRUCTURED_OUTPUT_TOOL = "StructuredOutput"
_WITHOUT_THE_CLI = "give_answer"


@dataclass(frozen=True)
class MessageRequest:
    """One request body, already checked by :func:`simulator.validation.check_request`.

    ``headers`` have lower-case names and their real values; they are for matching, not for logging. ``is_batched``: it is
    one of a batch. ``batch_call``: it is no request for a message, but stands for this call of Message Batches.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    is_batched: bool = False
    batch_call: str | None = None

    @property
    def model(self) -> str:
        """The requested model's name."""
        return str(self.body["model"])

    @property
    def stream(self) -> bool:
        """Whether the answer is to be sent as server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def max_tokens(self) -> int:
        """The tokens that the answer may have."""
        return int(self.body["max_tokens"])

    @property
    def stop_sequences(self) -> list[str]:
        """The texts that end the answer."""
        return list(self.body.get("stop_sequences") or [])

    @property
    def thinks(self) -> bool:
        """Whether a thinking block is wanted."""
        return (self.body.get("thinking") or {}).get("type") in ("enabled", "adaptive")

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The offered tools, as sent."""
        return list(self.body.get("tools") or [])

    @property
    def tool_choice(self) -> dict[str, Any]:
        """The tool choice; ``{"type": "auto"}`` when the request names none."""
        return dict(self.body.get("tool_choice") or {"type": "auto"})

    @cached_property
    def input_tokens(self) -> int:
        """The input tokens by the simulator's own count."""
        return tokens.count_request(self.body)

    @cached_property
    def system_text(self) -> str:
        """The system prompt's texts, joined by newlines."""
        return "\n".join(_texts(self.body.get("system")))

    @cached_property
    def last_user_text(self) -> str:
        """What the user said last: the texts of the last user message with any, joined by newlines.

        Blocks that the CLI adds by itself are left out, and messages that hold tool results only are passed
        over. When every block looks like one of the CLI's, the last is the user's: what a user says may look
        like anything.
        """
        for message in reversed(self.body["messages"]):
            if message.get("role") != "user":
                continue
            texts = _texts(message.get("content"))
            own = [text for text in texts if not text.lstrip().startswith(CLI_BLOCK_OPENINGS)]
            if own:
                return "\n".join(own)
            if texts and not _tool_results(message):
                return texts[-1]
        return ""

    @cached_property
    def last_blocks(self) -> list[dict[str, Any]]:
        """The content blocks of the last message that is the user's."""
        for message in reversed(self.body["messages"]):
            if message.get("role") == "user":
                return _blocks(message.get("content"))
        return []

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        """The tool results that this request brings: those of the last user message."""
        return [block for block in self.last_blocks if _is_tool_result(block)]

    @property
    def has_structured_result(self) -> bool:
        """Whether the structured answer was given and accepted, so that only a closing text is missing."""
        accepted = {block.get("tool_use_id") for block in self.tool_results if not block.get("is_error")}
        if not accepted:
            return False
        return any(
            block.get("id") in accepted and block.get("name") == STRUCTURED_OUTPUT_TOOL
            for message in self.body["messages"]
            for block in _blocks(message.get("content"))
        )

    @property
    def attachments(self) -> list[str]:
        """A description of each image and document of the last user message, such as ``[image image/png 70 bytes]``."""
        return [_describe(block) for block in self.last_blocks if block.get("type") in ("image", "document")]

    def find_tool(self, name: str) -> dict[str, Any] | None:
        """Return the offered tool called ``name``, or ``mcp__<server>__<name>``; None when there is none."""
        suffix = f"__{name}"
        for tool in self.tools:
            offered = str(tool.get("name", ""))
            if offered == name or (offered.startswith("mcp__") and offered.endswith(suffix)):
                return tool
        return self.find_tool(_WITHOUT_THE_CLI) if name == STRUCTURED_OUTPUT_TOOL else None


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def _texts(content: Any) -> list[str]:
    return [str(block.get("text", "")) for block in _blocks(content) if block.get("type") == "text"]


def _tool_results(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [block for block in _blocks(message.get("content")) if _is_tool_result(block)]


def _is_tool_result(block: dict[str, Any]) -> bool:
    return block.get("type") == "tool_result"


def _describe(block: dict[str, Any]) -> str:
    source = block.get("source") or {}
    kind = block["type"]
    if source.get("type") == "url":
        return f"[{kind} {source.get('url')}]"
    if source.get("type") == "file":
        return f"[{kind} {source.get('file_id')}]"
    data = str(source.get("data", ""))
    size = len(data.encode()) if source.get("type") == "text" else _decoded_size(data)
    return f"[{kind} {source.get('media_type')} {size} bytes]"


def _decoded_size(data: str) -> int:
    try:
        return len(base64.b64decode(data, validate=True))
    except binascii.Error:
        return 0
