"""What a caller hands to the invoker: a profile, fixed when a Claude process starts, and a prompt for one turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

#: One Anthropic content block (`{"type": "text", "text": ...}`) or message (`{"role": ..., "content": ...}`).
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Profile:
    """How a request is to be run. Hashable, for warm processes to be looked up by; so structured fields are JSON texts.

    `extra_body`, and with a login that takes `--bare` also `system`, can change from one turn to the next; a request
    that differs in anything else needs another process.
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

    @property
    def max_tokens(self) -> int | None:
        """What the caller lets an answer have, tokens; None: what the model can."""
        limit = json.loads(self.extra_body).get("max_tokens")
        return None if limit is None else int(limit)

    def at_launch(self, *, is_bare: bool) -> Profile:
        """What of it is fixed when a process starts."""
        return replace(self, extra_body="{}", system=None if is_bare else self.system)

    def body(self, *, is_bare: bool) -> str:
        """JSON object that the CLI merges into every API request of a turn.

        With a login of one's own (a key, a cloud provider) the system slot gets the client's text and nothing else; the
        CLI's line that it is an agent belongs to a subscription's requests, and stays there.
        """
        body = json.loads(self.extra_body)
        if is_bare and self.system:
            body["system"] = [{"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}]
        return json.dumps(body)


#: The user's message that the CLI is given in place of a conversation; the model never sees it.
STAND_IN = "The conversation."


@dataclass(frozen=True)
class Prompt:
    """One turn: the final user message, and what was said before it.

    `content` is a text or content blocks. `history` holds whole messages with their roles. A running process takes user
    messages only, so a conversation with a history goes into the API's request as it is, by way of its body.
    """

    content: str | tuple[Json, ...]
    history: tuple[Json, ...] = ()
    #: HTTP headers that the API's requests of this turn have besides: `name: value`, one a line
    headers: str = ""

    def wire_content(self) -> str | list[Json]:
        """What the process is given as the user's message."""
        if self.history:
            return STAND_IN
        return self.content if isinstance(self.content, str) else list(self.content)

    def in_body(self, body: str) -> str:
        """`body` (`Profile.body`) with the conversation in it, where there is a history."""
        if not self.history:
            return body
        blocks: list[Json] = (
            [{"type": "text", "text": self.content}] if isinstance(self.content, str) else [*self.content]
        )
        if blocks:
            # As the CLI marks what it sends itself: up to here it is the beginning of the next request, too.
            blocks[-1] = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
        messages = [*self.history, {"role": "user", "content": blocks}]
        return json.dumps({**json.loads(body), "messages": messages})
