"""A chat request's messages as the Messages API's: system text, and turns of alternating roles, the last one the user's.

All that can be wrong with them is found here, and named by its place (`messages[3].content[1].image_url`). So the door
and the worker, which both call this, refuse the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.messages.blank import without_blank
from app.messages.calls import Calls
from app.messages.content import blocks_of, text_of
from app.messages.faults import fault
from app.messages.request import as_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass
class Conversation:
    """See the module."""

    #: text of the system slot; None: none
    system: str | None = None
    #: `{"role", "content"}`; a content is a string or a list of blocks
    turns: list[dict[str, Any]] = field(default_factory=list)

    def add(self, role: str, content: str | list[dict[str, Any]]) -> None:
        """Say more. Neighbours of one role are one turn, as the Messages API wants them."""
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] = as_blocks(self.turns[-1]["content"]) + as_blocks(content)
        else:
            self.turns.append({"role": role, "content": content})


def conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Read the messages of a request as it was accepted. Raises `ErrorReply` (400) for what Claude has no form for."""
    found, calls = Conversation(), Calls()
    system: list[str] = []
    said_last = ""
    for index, message in enumerate(without_blank(messages)):
        place = f"messages[{index}]"
        role = message["role"]
        if role in ("system", "developer"):
            system.append(text_of(message["content"]))
        elif role == "assistant":
            calls.open(message.get("tool_calls") or (), place)
            said_last = place
            if content := blocks_of(message, place, calls):
                found.add("assistant", content)
        else:
            calls.close(message.get("tool_call_id"), place)
            found.add("user", blocks_of(message, place, calls))
    calls.end()
    found.system = "\n\n".join(system) or None
    if not found.turns and found.system is not None:
        # Claude answers a user: who sends nothing but instructions wants an answer to them.
        return Conversation(turns=[{"role": "user", "content": found.system}])
    if not found.turns or found.turns[-1]["role"] == "assistant":
        raise fault(
            said_last or "messages",
            "the last message must be from the user or a tool: Claude's newer models refuse to go on with an answer that"
            " somebody else has begun",
        )
    return found
