"""A chat request's messages as the Messages API's: system text, and turns of alternating roles, the last one the user's.

All that can be wrong with them is found here, and named by its place (`messages[3].content[1].image_url`). So the door
and the worker, which both call this, refuse the same.

Each call of a function has its result in the next turn. Ids are the client's. What Claude does not take in an id, or an id that a client uses again, is replaced, the same way in
the call and in its result.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import json_text
from app.errors import invalid_value
from app.messages.content import blocks_of, text_of, without_blank
from app.messages.request import as_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_SHOWN = 100


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
        raise invalid_value(
            said_last or "messages",
            "the last message must be from the user or a tool: Claude's newer models refuse to go on with an answer that"
            " somebody else has begun",
        )
    return found


class Calls:
    """The calls of one conversation, message by message."""

    def __init__(self) -> None:
        #: the ids that Claude gets, by the client's; of an id that was used twice the later one
        self._ids: dict[str, str] = {}
        self._used: set[str] = set()
        #: the calls of the last assistant's turn: their places, by the client's ids
        self._turn: dict[str, str] = {}
        #: those of them without a result so far
        self._waiting: dict[str, str] = {}
        self._is_answered = False

    def open(self, calls: Iterable[Mapping[str, Any]], place: str) -> None:
        """The assistant speaks, and calls these. Raises `ErrorReply` for calls before that have no result."""
        if self._is_answered:
            self.end()
            self._turn = {}
            self._is_answered = False
        for index, call in enumerate(calls):
            sent, at = call["id"], f"{place}.tool_calls[{index}]"
            if sent in self._turn:
                raise invalid_value(f"{at}.id", "another call has this id")
            self._turn[sent] = self._waiting[sent] = at
            self._ids[sent] = self._new_id(sent)

    def close(self, call_id: str | None, place: str) -> None:
        """A tool, or the user (None), speaks. Raises `ErrorReply` for a result without a call, and for calls without one."""
        self._is_answered = True
        if call_id is None:
            self.end()
            self._turn = {}
        elif call_id not in self._turn:
            raise invalid_value(f"{place}.tool_call_id", "answers no tool call of the assistant's message before it")
        elif self._waiting.pop(call_id, None) is None:
            raise invalid_value(f"{place}.tool_call_id", "answers a tool call that has a result already")

    def end(self) -> None:
        """Nothing follows, or somebody else speaks. Raises `ErrorReply` for calls without a result."""
        for sent, place in self._waiting.items():
            raise invalid_value(
                place,
                f"the call '{sent[:_MAX_SHOWN]}' has no result: a message of the role 'tool' with its tool_call_id has to"
                " follow, before any other",
            )

    def id_of(self, sent: str) -> str:
        """The id of a call, or of what its result answers, as Claude gets it."""
        return self._ids[sent]

    def tool_use(self, call: Mapping[str, Any], place: str) -> dict[str, Any]:
        """An earlier call as the block that the model once gave. Raises `ErrorReply`."""
        name = call["function"]["name"]
        if not _NAME.fullmatch(name):
            raise invalid_value(f"{place}.function.name", "takes 1 to 64 letters, digits, '_' and '-'")
        given = _arguments(call["function"]["arguments"], f"{place}.function.arguments")
        return {"type": "tool_use", "id": self.id_of(call["id"]), "name": name, "input": given}

    def _new_id(self, sent: str) -> str:
        plain = sent if _ID.fullmatch(sent) else f"toolu_{hashlib.sha256(sent.encode()).hexdigest()[:24]}"
        found, number = plain, 1
        while found in self._used:
            number += 1
            found = f"{plain}_{number}"
        self._used.add(found)
        return found


def _arguments(text: str, place: str) -> dict[str, Any]:
    """The arguments as a value; none at all are written in several ways."""
    try:
        given = json_text.parse(text.encode()) if text.strip() else {}
    except ValueError as error:
        raise invalid_value(
            place, f"the arguments of an earlier call have to be JSON, for Claude reads the value: {error}"
        ) from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid_value(place, "the arguments of an earlier call have to be a JSON object")
    return given
