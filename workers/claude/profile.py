"""What a caller hands to the invoker: a profile, fixed when a Claude process starts, and a prompt for one turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: One Anthropic content block (`{"type": "text", "text": ...}`) or message (`{"role": ..., "content": ...}`).
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Profile:
    """Everything that is fixed when a Claude process starts. A request with another profile needs another process.

    Hashable, so that warm processes can be looked up by it; that is why structured fields are JSON texts.
    """

    #: an alias (`haiku`, `sonnet`, `opus`) or a Claude model id
    model: str = "sonnet"
    #: text of the system slot; None: none
    system: str | None = None
    #: budget for thinking, tokens; None: thinking is off
    thinking_tokens: int | None = None
    #: `low`, `medium`, `high`, ... as the CLI's `--effort`; None: the model's own
    effort: str | None = None
    #: JSON text of the schema that the answer must fit, in the CLI's strict dialect; None: free text
    schema: str | None = None
    #: JSON object merged into every API request: `max_tokens`, `temperature`, `top_p`, `stop_sequences`, `tool_choice`
    extra_body: str = "{}"
    #: JSON array of the caller's functions (`{"name", "description", "input_schema"}`), never run here; None: none
    tools: str | None = None


@dataclass(frozen=True)
class Prompt:
    """One turn: the final user message, and what was said before it.

    `content` is a text or content blocks. `history` holds whole messages with their roles; a prompt with one is
    answered by a process of its own, because a running process takes user messages only.
    """

    content: str | tuple[Json, ...]
    history: tuple[Json, ...] = ()

    def wire_content(self) -> str | list[Json]:
        """The content as the Messages API spells it."""
        return self.content if isinstance(self.content, str) else list(self.content)
