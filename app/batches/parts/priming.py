"""Whether the lines of a batch begin alike, so that it is worth it to have that beginning in the prompt cache before they are sent.

Requests of a message batch run at the same time: each would write the beginning for itself, and none would read it. So a
part of one line goes first, and all parts keep the beginning for an hour.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from app.batches.formats.line import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: of what they have in common, as JSON: more than any model's least length that it keeps, which is 4,096 tokens
HEAD_CHARACTERS = 20_000
#: fewer lines do not make up for the dearer writing, and for the wait
LINES = 20
#: how long the others wait for the first at most, seconds
SECONDS = 3600.0
#: roles whose messages become the system text
_SYSTEM = ("system", "developer")


def samples(begin: int, end: int) -> list[int]:
    """Of the lines with the numbers from `begin` to before `end`, those that are looked at."""
    is_worth_it = end - begin >= LINES
    return sorted({begin, begin + 1, (begin + end) // 2, end - 1}) if is_worth_it else []


def share_a_head(lines: Iterable[bytes]) -> bool:
    """Whether these have one head of enough length: functions and system text, which Claude is given first."""
    heads = [_head(parsed(raw).body) for raw in lines]
    return bool(heads) and len(heads[0]) >= HEAD_CHARACTERS and all(one == two for one, two in pairwise(heads))


def _head(body: Mapping[str, Any]) -> str:
    messages = body.get("messages") or body.get("input") or []
    told = [
        message
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict) and message.get("role") in _SYSTEM
    ]
    return json.dumps([body.get("tools"), body.get("instructions"), told], ensure_ascii=False)
