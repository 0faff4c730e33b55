"""What is in a cell, as text. A cell of a table of text is its text already; others have types."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from app.batches.formats.json_file import FormatError


class Number(float):
    """A number with a fraction or an exponent, as it was written: `1.10` stays `1.10`."""

    text: str

    def __new__(cls, text: str) -> Number:
        """Of its text."""
        made = super().__new__(cls, text)
        made.text = text
        return made


@dataclass(frozen=True)
class Unfit:
    """What a cell has that is no text, and why: whoever wants its text gets a `FormatError`."""

    reason: str


def as_text(value: Any) -> str:
    """As a prompt, an id or a table of text has it: an empty cell is empty, a date as in ISO 8601, anything else as in JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() or value.tzinfo else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, Unfit):
        raise FormatError(value.reason)
    return json.dumps(value, ensure_ascii=False, default=str)


def is_empty(value: Any) -> bool:
    """Whether nothing is in it."""
    return value is None or (isinstance(value, str) and not value.strip())
