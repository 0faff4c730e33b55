"""What a caller hands to the invoker: a profile, fixed when a Claude process starts, and a prompt for one turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.messages.request import as_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.messages.request import Json


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

    def fields(self, *, is_bare: bool) -> dict[str, Any]:
        """What the CLI merges into every API request of a turn, the conversation apart.

        With a login of one's own (a key, a cloud provider) the system slot gets the client's text and nothing else; the
        CLI's line that it is an agent belongs to a subscription's requests, and stays there. Without a text it stays with a
        key, too: an empty slot is nothing that the API is known to take.
        """
        found: dict[str, Any] = json.loads(self.extra_body)
        if is_bare and self.system:
            found["system"] = [marked({"type": "text", "text": self.system})]
        if self.system is None and found.get("tools"):
            found["tools"][-1] = marked(found["tools"][-1])
        return found


#: The user's message that the CLI is given; the model never sees it.
STAND_IN = "The conversation."


def marked(block: Json) -> Json:
    """A content block or tool up to which the API keeps the request for five minutes (docs/cost.md)."""
    return {**block, "cache_control": {"type": "ephemeral"}}


@dataclass(frozen=True)
class Prompt:
    """One turn: the final user message, and what was said before it.

    `content` is a text or content blocks. `history` holds whole messages with their roles. All of it goes into the API's
    request as it is, by way of its body: a running process takes user messages only, and reads them as somebody's typing.
    """

    content: str | tuple[Json, ...]
    history: tuple[Json, ...] = ()
    #: HTTP headers that the API's requests of this turn have besides: `name: value`, one a line
    headers: str = ""

    def in_body(self, fields: Mapping[str, Any]) -> str:
        """The JSON object that the CLI merges into the API's requests: `fields` (`Profile.fields`) and the conversation."""
        blocks = as_blocks(self.content)
        if self.history and blocks:
            # Up to here it is the beginning of the next request, too.
            blocks[-1] = marked(blocks[-1])
        messages = [*self.history, {"role": "user", "content": blocks}]
        return json.dumps({**fields, "messages": messages})
