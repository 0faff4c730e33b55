"""JSON: strict and bounded in depth where clients send it, and one value a line where we write it for readers of any kind."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic_core

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """It is no JSON. `param` is the field that holds half of a surrogate pair, where that is the fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def parse(text: bytes) -> Any:
    """The value. Raises `JsonError`, for a nesting of 200 and more, NaN, and numbers of thousands of digits, too."""
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        place = _half_a_pair(text)
        if place is None:
            raise JsonError(str(error)) from error
        raise JsonError(
            f"'{place}' has half of a surrogate pair, which is no character and has no UTF-8", place
        ) from error


def _half_a_pair(text: bytes) -> str | None:
    if _ESCAPED.search(text) is None:
        return None
    try:
        # Python's own parser takes them.
        return _find(json.loads(text), "")
    except (ValueError, RecursionError):
        return None


def _find(value: Any, place: str) -> str | None:
    if isinstance(value, str):
        return place if _SURROGATE.search(value) else None
    if isinstance(value, dict):
        for name, one in value.items():
            # A name that is no text is given as it was escaped.
            step = name.encode("utf-8", "backslashreplace").decode()
            step = f"{place}.{step}" if place else step
            found = step if _SURROGATE.search(name) else _find(one, step)
            if found is not None:
                return found
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if (found := _find(one, f"{place}[{index}]")) is not None:
                return found
    return None


#: characters that JSON allows in a string, at which `str.splitlines()` and the line reader of OpenAI's Python client split
_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def line(value: Any) -> bytes:
    """The value and its line feed. Text is UTF-8, but for what would break the line and for half surrogate pairs."""
    # Outside its strings JSON has no such characters.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_BREAKS)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"
