"""Text that comes from Claude in JSON, made of whole characters: half of a surrogate pair has no UTF-8, and no store takes it."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")


def whole(text: str) -> str:
    """The text with its pairs joined; half of one alone is U+FFFD."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Characters:
    """A text that comes in pieces, which may part a pair."""

    def __init__(self) -> None:
        self._kept = ""

    def add(self, piece: str) -> str:
        """What is complete of it now: a first half waits for its second."""
        text = self._kept + piece
        self._kept = text[-1:] if _FIRST_HALF.search(text) else ""
        return whole(text.removesuffix(self._kept))

    def end(self) -> str:
        """What was still waiting."""
        kept, self._kept = self._kept, ""
        return whole(kept)
