"""What a caller hands to the invoker: a profile, fixed when a Claude process starts, and a prompt for one turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.messages.request import marked, turns
from app.openai.model_names import ALIASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.messages.request import CachePlan, Json


@dataclass(frozen=True)
class Profile:
    """What a process is started with. Hashable, for warm processes to be looked up by; so structured fields are JSON texts.

    A request that differs in one of these needs another process, or one that becomes it; with a login that takes `--bare`, `system` is
    none of them.
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
    #: JSON array of the caller's functions (`{"name", "description", "input_schema"}`), never run here; None: none
    tools: str | None = None

    def at_launch(self, *, is_bare: bool) -> Profile:
        """What of it is fixed when a process starts."""
        return replace(self, system=None) if is_bare else self

    def may_become(self, other: Profile) -> bool:
        """Whether a running process of this profile can be told to serve the other: only the model's alias and the system text differ.

        Before the CLI changes to a model by its full id it asks that model something, which is billed. Whether there is a system text
        decides on variables that are fixed at its start.
        """
        if self.model not in ALIASES or other.model not in ALIASES or (self.system is None) != (other.system is None):
            return False
        return replace(self, model=other.model, system=other.system) == other


#: The user's message that the CLI is given; the model never sees it.
STAND_IN = "The conversation."


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
    #: what else the API's requests have: `max_tokens`, `temperature`, `top_p`, `stop_sequences`, `tools`, `tool_choice`
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: what the API is to keep of a batch's line; None: it is none
    cache: CachePlan | None = None

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the answer may have; None: what the model can."""
        return self.fields.get("max_tokens")

    def in_body(self, system: str | None, *, is_bare: bool) -> str:
        """The JSON object that the CLI merges into the API's requests. `system`: `Profile.system`.

        With a login of one's own (a key, a cloud provider) the system slot gets the client's text and nothing else; the
        CLI's line that it is an agent belongs to a subscription's requests, and stays there. Without a text it stays with a
        key, too: an empty slot is nothing that the API is known to take.
        """
        fields = dict(self.fields)
        if is_bare and system:
            fields["system"] = [marked({"type": "text", "text": system}, self.cache)]
        if system is None and fields.get("tools"):
            *others, last = fields["tools"]
            fields["tools"] = [*others, marked(last, self.cache)]
        return json.dumps({**fields, "messages": turns(self.history, self.content, self.cache)})
