"""A few lines of a batch's files, for people to look at: examples of what went wrong, and answers. Bounded, however large they are."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.batches.formats.line import parsed
from app.batches.lines import LineReader
from app.batches.output import cause_and_message
from app.batches.storage import counted_lines, names

if TYPE_CHECKING:
    from app.batches.record import BatchRecord
    from app.batches.storage import Readable

#: examples of one cause, with different messages where there are such
MAX_EXAMPLES = 3
#: how much of an error file is looked through for them
_SCAN_BYTES = 16 * 1024 * 1024
#: what is shown of a text, characters
MAX_TEXT = 2000
MAX_MESSAGE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An error: whose, and what was said."""

    custom_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredLine:
    """A request that was answered. `question` is its last text, None when the input is gone."""

    custom_id: str
    question: str | None
    text: str


def failures(storage: Readable, record: BatchRecord) -> dict[str, list[Example]]:
    """Examples by the errors' code (or type). Empty when the file was deleted."""
    found: dict[str, list[Example]] = {}
    name, length = names.stored_file(record.error_file), min(record.error_bytes, _SCAN_BYTES)
    for raw in counted_lines(storage, name, length):
        line: dict[str, Any] = json.loads(raw)
        if (error := cause_and_message(line)) is None:
            continue
        known = found.setdefault(error[0], [])
        message = shortened(error[1], MAX_MESSAGE)
        if len(known) < MAX_EXAMPLES and all(one.message != message for one in known):
            known.append(Example(custom_id=line["custom_id"], message=message))
    return found


def answers(storage: Readable, record: BatchRecord, *, skip: int, most: int) -> list[AnsweredLine]:
    """Those in the output file after the first `skip`."""
    found = []
    lines = counted_lines(storage, names.stored_file(record.output_file), record.output_bytes)
    for raw in itertools.islice(lines, skip, skip + most):
        line: dict[str, Any] = json.loads(raw)
        found.append(
            AnsweredLine(
                custom_id=line["custom_id"],
                question=_question(LineReader(storage, record.id), int(line["id"].rpartition("_")[2])),
                text=shortened(_text(line["response"]["body"]), MAX_TEXT),
            )
        )
    return found


def shortened(text: str, most: int) -> str:
    """With a note of how much was left out."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def _text(body: dict[str, Any]) -> str:
    """Of a completion or a response: what it says, else the functions that it calls."""
    if body.get("object") == "response":
        parts = [part for item in body.get("output", ()) for part in item.get("content") or () if "text" in part]
        calls = [item for item in body.get("output", ()) if item.get("type") == "function_call"]
        return "\n".join(str(part["text"]) for part in parts) or _calls(calls)
    choice = (body.get("choices") or [{}])[0]
    if "text" in choice:
        return str(choice["text"])
    message = choice.get("message") or {}
    return str(message.get("content") or message.get("refusal") or _calls(message.get("tool_calls") or []))


def _calls(calls: list[Any]) -> str:
    return json.dumps(calls, ensure_ascii=False, indent=1) if calls else ""


def _question(reader: LineReader, number: int) -> str | None:
    try:
        ((_, raw),) = reader.read([number])
    except OSError:
        return None
    body = parsed(raw).body
    asked: Any = body.get("messages") or body.get("input") or body.get("prompt") or ""
    if isinstance(asked, list):
        last = asked[-1] or {}
        asked = last if isinstance(last, str) else last.get("content") or ""
    if isinstance(asked, list):
        asked = "\n".join(str(part["text"]) for part in asked if isinstance(part, dict) and "text" in part)
    return shortened(str(asked), MAX_TEXT)
