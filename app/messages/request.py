"""A request of the Messages API, whichever way it takes to Claude. Source: Anthropic's Messages API reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.messages.output_spec import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

#: one content block (`{"type": "text", "text": ...}`), message (`{"role": ..., "content": ...}`) or tool
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Thinking:
    """How much a model thinks: newer ones by an effort, older ones within a budget of tokens."""

    effort: str
    tokens: int


@dataclass(frozen=True)
class MessagesRequest:
    """See the module. Names of tools are the client's own, that of `output.value` apart."""

    #: an alias (`haiku`, `sonnet`, `opus`) or a Claude model id
    model: str
    #: turns of alternating roles, the last one the user's; a content is a string or a list of blocks
    messages: tuple[Json, ...]
    #: text of the system slot; None: none
    system: str | None = None
    tools: tuple[Json, ...] = ()
    #: `{"type": "auto" | "any" | "tool" | "none", ...}`; None: the API's default
    tool_choice: Json | None = None
    #: None: the client set no cap
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    #: `temperature` and `top_p`, those that the client set
    sampling: Mapping[str, float] = field(default_factory=dict)
    #: None: off
    thinking: Thinking | None = None
    #: what the answer has to be
    output: OutputSpec = field(default_factory=OutputSpec)

    def again(self, words: str) -> MessagesRequest:
        """The same request with some words at the end of its last turn."""
        last = self.messages[-1]
        blocks = [*as_blocks(last["content"]), {"type": "text", "text": words}]
        return replace(self, messages=(*self.messages[:-1], {**last, "content": blocks}))


def as_blocks(content: str | Sequence[Json]) -> list[Json]:
    """A content as blocks, which a string is one of."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else [*content]


def marked(block: Json) -> Json:
    """A content block or tool up to which the API keeps the request for five minutes (docs/cost.md)."""
    return {**block, "cache_control": {"type": "ephemeral"}}


def turns(before: Sequence[Json], content: str | Sequence[Json]) -> list[Json]:
    """The API's `messages`: what was said before, and the user's last turn."""
    blocks = as_blocks(content)
    if before and blocks:
        # Up to here it is the beginning of the next request, too.
        blocks[-1] = marked(blocks[-1])
    return [*before, {"role": "user", "content": blocks}]
