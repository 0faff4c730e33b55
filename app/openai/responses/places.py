"""Where in a response request each message of the chat request that is made of it was: for errors that name the place.

The chat request has a message for the instructions, one for each item of earlier responses, and one for each item of this
request, without those that are left out. So a message's index is not its item's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MESSAGE = re.compile(r"messages\[(\d+)\](.*)", re.DOTALL)
_ITEM = re.compile(r"input\[(\d+)\](.*)", re.DOTALL)
#: from a part of a chat message's parameter to that of an item's
_WITHIN = (
    (r"\.tool_calls\[\d+\]\.function\b", ""),
    (r"\.tool_calls\[\d+\]\.id|\.tool_call_id", ".call_id"),
    (r"\.tool_calls(\[\d+\])?", ""),
    (r"(\.content\[\d+\])\.image_url\.url", r"\1.image_url"),
    (r"(\.content\[\d+\])\.file\b", r"\1"),
)


@dataclass(frozen=True)
class Places:
    """See the module."""

    #: the request as it is kept: its `input` is the whole conversation
    asked: Mapping[str, Any]
    #: for each of these items its index in the request's own `input`; None for those of earlier responses
    items: Sequence[int | None]

    def spell(self, param: str) -> str:
        """A chat request's `messages[3].content[1]...` as this request's `input[2].content[1]...`."""
        found = _MESSAGE.fullmatch(param)
        if found is None:
            return param
        index = int(found[1]) - bool(self.asked.get("instructions"))
        if index < 0:
            return "instructions"
        if index >= len(self.items):
            return "input"
        if (item := self.items[index]) is None:
            return "previous_response_id"
        rest = found[2]
        for pattern, name in _WITHIN:
            rest = re.sub(pattern, name, rest, count=1)
        if self.asked["input"][index]["type"] == "function_call_output":
            rest = rest.replace(".content", ".output", 1)
        return f"input[{item}]{rest}"


def as_sent(param: str, kept: Sequence[int]) -> str:
    """`input[1]...` among the items that were kept, as it was in the request before some were left out."""
    found = _ITEM.fullmatch(param)
    return f"input[{kept[int(found[1])]}]{found[2]}" if found is not None else param
