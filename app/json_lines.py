"""JSON one value a line, for readers of any kind: some take more than a line feed for the end of a line."""

from __future__ import annotations

import json
from typing import Any

#: what JSON lets stand in a string, and `str.splitlines()` and the line reader of OpenAI's Python client split at
_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def line(value: Any) -> bytes:
    """The value and its line feed. Text is UTF-8, but for what would break the line and for half surrogate pairs."""
    # Outside its strings JSON has no such characters.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_BREAKS)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"
