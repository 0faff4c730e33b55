"""The content blocks of an answer, and how each is written on the wire."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import uuid4

from simulator import tokens

#: A signature is opaque to clients; this one says that it signs nothing.
SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="


@dataclass(frozen=True)
class Block(ABC):
    """A content block that is made of a text: what was said, thought, or given to a tool as JSON."""

    content: str

    @property
    def tokens(self) -> int:
        """The output tokens of the block."""
        return tokens.count(self.content)

    def with_content(self, content: str) -> Self:
        """Return the block with another text, such as a cut one."""
        return replace(self, content=content)

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """Return the block as it stands in a message."""

    @abstractmethod
    def opening(self) -> dict[str, Any]:
        """Return the block as ``content_block_start`` shows it, still empty."""

    @abstractmethod
    def delta(self, piece: str) -> dict[str, Any]:
        """Return the delta that adds ``piece``."""

    def closing_deltas(self) -> Iterator[dict[str, Any]]:
        """Yield the deltas that come after the text's."""
        return iter(())


class TextBlock(Block):
    """What the model says."""

    def whole(self) -> dict[str, Any]:
        """Return ``{"type": "text", "text"}``."""
        return {"type": "text", "text": self.content}

    def opening(self) -> dict[str, Any]:
        """Return the block with an empty text."""
        return {"type": "text", "text": ""}

    def delta(self, piece: str) -> dict[str, Any]:
        """Return ``{"type": "text_delta", "text"}``."""
        return {"type": "text_delta", "text": piece}


class ThinkingBlock(Block):
    """What the model thinks; signed, as clients send it back."""

    def whole(self) -> dict[str, Any]:
        """Return ``{"type": "thinking", "thinking", "signature"}``."""
        return {"type": "thinking", "thinking": self.content, "signature": SIGNATURE}

    def opening(self) -> dict[str, Any]:
        """Return the block with an empty text and signature."""
        return {"type": "thinking", "thinking": "", "signature": ""}

    def delta(self, piece: str) -> dict[str, Any]:
        """Return ``{"type": "thinking_delta", "thinking"}``."""
        return {"type": "thinking_delta", "thinking": piece}

    def closing_deltas(self) -> Iterator[dict[str, Any]]:
        """Yield the signature."""
        yield {"type": "signature_delta", "signature": SIGNATURE}


@dataclass(frozen=True)
class ToolUseBlock(Block):
    """A tool call; ``content`` is its input as JSON text, which a token limit may have cut."""

    name: str = ""
    id: str = field(default_factory=lambda: f"toolu_sim_{uuid4().hex[:20]}")

    def whole(self) -> dict[str, Any]:
        """Return ``{"type": "tool_use", "id", "name", "input"}``; the input is empty when it was cut."""
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": self._input()}

    def opening(self) -> dict[str, Any]:
        """Return the block with an empty input."""
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}

    def delta(self, piece: str) -> dict[str, Any]:
        """Return ``{"type": "input_json_delta", "partial_json"}``."""
        return {"type": "input_json_delta", "partial_json": piece}

    def _input(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError:
            return {}
