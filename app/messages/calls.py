"""Earlier calls of functions and their results, as the Messages API wants them: each call has its result in the next turn.

Ids are the client's. What Claude does not take in an id, or an id that a client uses again, is replaced, the same way in
the call and in its result.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from app.messages.faults import fault
from app.openai import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_SHOWN = 100


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
                raise fault(f"{at}.id", "another call has this id")
            self._turn[sent] = self._waiting[sent] = at
            self._ids[sent] = self._new_id(sent)

    def close(self, call_id: str | None, place: str) -> None:
        """A tool, or the user (None), speaks. Raises `ErrorReply` for a result without a call, and for calls without one."""
        self._is_answered = True
        if call_id is None:
            self.end()
            self._turn = {}
        elif call_id not in self._turn:
            raise fault(f"{place}.tool_call_id", "answers no tool call of the assistant's message before it")
        elif self._waiting.pop(call_id, None) is None:
            raise fault(f"{place}.tool_call_id", "answers a tool call that has a result already")

    def end(self) -> None:
        """Nothing follows, or somebody else speaks. Raises `ErrorReply` for calls without a result."""
        for sent, place in self._waiting.items():
            raise fault(
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
            raise fault(f"{place}.function.name", "takes 1 to 64 letters, digits, '_' and '-'")
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
        raise fault(
            place, f"the arguments of an earlier call have to be JSON, for Claude reads the value: {error}"
        ) from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise fault(place, "the arguments of an earlier call have to be a JSON object")
    return given
