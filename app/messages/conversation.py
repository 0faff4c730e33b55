"""A chat request's messages as the Messages API's: system text, and turns of alternating roles, the last one the user's.

All that can be wrong with them is found here, and named by its place (`messages[3].content[1].image_url`). So the door
and the worker, which both call this, refuse the same.

Each call of a function has its result in the next turn. Ids are the client's. What Claude does not take in an id, or an
id that a client uses again, is replaced, the same way in the call and in its result.

Text that is empty or white space follows one rule, wherever it is:

- The user's, a system text that is nothing else, and parts beside others: the Messages API takes none, so a 400 that names
  the place.
- The assistant's: Claude itself says nothing now and then, and takes no such turn back. It is left out, so that the
  conversation can go on.
- An empty system text, and a tool's result that is one text: nothing is asked, and the API takes it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app import json_text
from app.errors import invalid_request, invalid_value
from app.messages.media import MediaError, document_source, image_source, is_remote
from app.messages.request import as_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.errors import ErrorReply

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
    for index, message in enumerate(_without_blank(messages)):
        place = f"messages[{index}]"
        role = message["role"]
        if role in ("system", "developer"):
            system.append(_text_of(message["content"]))
        elif role == "assistant":
            calls.open(message.get("tool_calls") or (), place)
            said_last = place
            if content := _blocks_of(message, place, calls):
                found.add("assistant", content)
        else:
            calls.close(message.get("tool_call_id"), place)
            found.add("user", _blocks_of(message, place, calls))
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


def remote_images(messages: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, str]]:
    """(message, part, URL) of each image that has to be fetched before Claude is asked."""
    return [
        (at, part_at, part["image_url"]["url"])
        for at, message in enumerate(messages)
        if isinstance(content := message.get("content"), list)
        for part_at, part in enumerate(content)
        if part["type"] == "image_url" and is_remote(part["image_url"]["url"])
    ]


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


def _text_of(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    """The text of a content that is text only."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content)


def _blocks_of(message: Mapping[str, Any], place: str, calls: Calls) -> str | list[dict[str, Any]]:
    """A user, assistant or tool message's content: a plain string where it is one, so that it stays as it was sent.

    `place` is the message's (`messages[3]`). Raises `ErrorReply` (400).
    """
    content = message.get("content")
    if message["role"] == "tool":
        result_of = calls.id_of(message["tool_call_id"])
        return [{"type": "tool_result", "tool_use_id": result_of, "content": _result(content, place)}]
    called = message.get("tool_calls") or ()
    if isinstance(content, str) and not called:
        return content
    said = content or message.get("refusal")
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) and said else []
    if isinstance(content, list):
        blocks = _blocks(content, place)
    return blocks + [calls.tool_use(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(called)]


def _result(content: Any, place: str) -> str | list[dict[str, Any]]:
    """What a function gave: one text where it is text only."""
    if isinstance(content, list) and any(part["type"] != "text" for part in content):
        return _blocks(content, place)
    return _text_of(content)


def _blocks(parts: Sequence[Mapping[str, Any]], place: str) -> list[dict[str, Any]]:
    return [_block(part, f"{place}.content[{index}]") for index, part in enumerate(parts)]


def _block(part: Mapping[str, Any], place: str) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case "image_url":
            return _image(part["image_url"]["url"], f"{place}.image_url")
        case "file":
            return _document(part["file"], f"{place}.file.file_data")
    raise invalid_value(place, f"parts of the type '{part['type']}' are not supported")


def _image(url: str, place: str) -> dict[str, Any]:
    if is_remote(url):
        # The worker fetches it: until then only its place is known.
        return {"type": "image", "source": {"type": "url", "url": url}}
    try:
        return {"type": "image", "source": image_source(url)}
    except MediaError as error:
        raise invalid_value(place, str(error)) from error


def _document(file: Mapping[str, Any], place: str) -> dict[str, Any]:
    name = file.get("filename")
    try:
        source = document_source(file["file_data"], name)
    except MediaError as error:
        raise invalid_value(place, str(error)) from error
    return {"type": "document", "source": source} | ({"title": name} if name else {})


#: where a part has its text
_TEXTS = ("text", "refusal")


def _without_blank(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a chat request, at their places, without the assistant's blank texts. Raises `ErrorReply` (400)."""
    _check_system(messages)
    return [_checked(message, f"messages[{index}].content") for index, message in enumerate(messages)]


def _checked(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    content = message.get("content")
    if message["role"] == "assistant":
        return {**message, **{name: _said(message[name]) for name in ("content", "refusal") if name in message}}
    if message["role"] == "user" and isinstance(content, str) and not content.strip():
        raise _blank(place)
    if isinstance(content, list) and _is_sent_in_parts(message["role"], content):
        for index, part in enumerate(content):
            if part["type"] == "text" and not part["text"].strip():
                raise _blank(f"{place}[{index}].text")
    return {**message}


def _is_sent_in_parts(role: str, parts: Iterable[Mapping[str, Any]]) -> bool:
    """System texts, and results that are text only, are joined to one text."""
    return role == "user" or (role == "tool" and any(part["type"] != "text" for part in parts))


def _said(content: Any) -> Any:
    """What the assistant has said; None: nothing."""
    if isinstance(content, str):
        return content if content.strip() else None
    if content is None:
        return None
    return [part for part in content if "".join(part.get(name) or "" for name in _TEXTS).strip()] or None


def _check_system(messages: Iterable[Mapping[str, Any]]) -> None:
    """Several are joined, so that one of them may be blank."""
    first, has_words = "", False
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            text = _text_of(message["content"])
            has_words |= bool(text.strip())
            first = first or (f"messages[{index}].content" if text else "")
    if first and not has_words:
        raise _blank(first)


def _blank(place: str) -> ErrorReply:
    return invalid_request(
        f"Invalid '{place}': it has to have text. Claude takes none that is empty or only white space.", param=place
    )
