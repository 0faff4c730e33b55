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


#: how long the API keeps what is marked
FIVE_MINUTES, ONE_HOUR, NEVER = "5m", "1h", ""


@dataclass(frozen=True)
class CachePlan:
    """What the API is to keep of a batch's line (docs/cost.md). A request by itself has none: it marks where its conversation goes on."""

    #: for how long: `FIVE_MINUTES`, `ONE_HOUR`, or `NEVER`
    ttl: str = FIVE_MINUTES
    #: with how much of their messages all lines begin, beside functions and system text: so many whole blocks, and so many characters of
    #: the next one, a text
    blocks: int = 0
    characters: int = 0


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
    #: None: it is no line of a batch
    cache: CachePlan | None = None

    def again(self, words: str) -> MessagesRequest:
        """The same request with some words at the end of its last turn."""
        last = self.messages[-1]
        blocks = [*as_blocks(last["content"]), {"type": "text", "text": words}]
        return replace(self, messages=(*self.messages[:-1], {**last, "content": blocks}))


def as_blocks(content: str | Sequence[Json]) -> list[Json]:
    """A content as blocks, which a string is one of."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else [*content]


def marked(block: Json, plan: CachePlan | None = None) -> Json:
    """A content block or tool up to which the API keeps the request (docs/cost.md)."""
    ttl = FIVE_MINUTES if plan is None else plan.ttl
    if ttl == NEVER:
        return block
    return {**block, "cache_control": {"type": "ephemeral"} | ({"ttl": ttl} if ttl == ONE_HOUR else {})}


def turns(before: Sequence[Json], content: str | Sequence[Json], plan: CachePlan | None = None) -> list[Json]:
    """The API's `messages`: what was said before, and the user's last turn."""
    blocks = as_blocks(content)
    if plan is not None:
        return _with_head([*before, {"role": "user", "content": blocks}], plan)
    if before and blocks:
        # Up to here it is the beginning of the next request, too.
        blocks[-1] = marked(blocks[-1])
    return [*before, {"role": "user", "content": blocks}]


def _with_head(messages: list[Json], plan: CachePlan) -> list[Json]:
    """These with a mark where the lines of their batch begin to differ."""
    left = plan.blocks
    for at, message in enumerate(messages):
        blocks = as_blocks(message["content"])
        if left < len(blocks) or (left == len(blocks) and not plan.characters):
            if left or plan.characters:
                messages[at] = {**message, "content": _parted(blocks, left, plan)}
            break
        left -= len(blocks)
    return messages


def _parted(blocks: list[Json], whole: int, plan: CachePlan) -> list[Json]:
    """A mark after so many whole blocks and some characters of the next, which is two blocks then: the same text."""
    if not plan.characters:
        return [*blocks[: whole - 1], marked(blocks[whole - 1], plan), *blocks[whole:]]
    text = str(blocks[whole].get("text", ""))
    head, rest = text[: plan.characters], text[plan.characters :]
    # The API takes no blank text.
    if not head.strip() or not rest.strip():
        return blocks
    parted = [marked({**blocks[whole], "text": head}, plan), {**blocks[whole], "text": rest}]
    return [*blocks[:whole], *parted, *blocks[whole + 1 :]]
