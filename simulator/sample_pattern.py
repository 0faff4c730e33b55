"""A string that matches a regular expression, for the ordinary ones that JSON schemas carry."""

import re
from collections.abc import Iterator

#: Tried in this order for a class of characters or ``.``; the first that fits is taken.
_CANDIDATES = "aA0_- .@/:+,x"

#: Repetitions that a string gets at most, to reach a minimal length.
_MOST_REPETITIONS = 64

#: One piece of a pattern: an escape, a class, an anchor or any single character.
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[.^$]|[^\\()|?*+{}]")
_QUANTIFIER = re.compile(r"([?*+]|\{(\d*)(,?)(\d*)\})\??")
_GROUP = re.compile(r"\((\?(?::|P?<[A-Za-z_]\w*>))?")


class _UnreadableError(ValueError):
    """The pattern has something that this module does not read, such as a look-ahead."""


def match_pattern(pattern: str, min_length: int = 0) -> str | None:
    """Return a short string that ``pattern`` is found in, of ``min_length`` characters if repetitions allow it.

    Groups, alternatives (the first is taken), classes, escapes and quantifiers are read; None for a pattern
    that needs more. What is returned has been checked with :mod:`re`.
    """
    best: str | None = None
    for extra in range(_MOST_REPETITIONS):
        try:
            text = _Reader(pattern, extra).text()
        except (_UnreadableError, re.error):
            return None
        if re.search(pattern, text) is None:
            break
        best = text
        if len(text) >= min_length:
            break
    return best


class _Reader:
    """Reads a pattern once from left to right; each open-ended repetition is done ``extra`` times more than it must."""

    def __init__(self, pattern: str, extra: int) -> None:
        self._pattern = pattern
        self._extra = extra
        self._position = 0

    def text(self) -> str:
        found = self._alternatives()
        if self._position < len(self._pattern):
            raise _UnreadableError(self._pattern)
        return found

    def _alternatives(self) -> str:
        first = "".join(self._sequence())
        while self._pattern[self._position : self._position + 1] == "|":
            self._position += 1
            "".join(self._sequence())
        return first

    def _sequence(self) -> Iterator[str]:
        while self._position < len(self._pattern) and self._pattern[self._position] not in "|)":
            yield self._piece() * self._repetitions()

    def _piece(self) -> str:
        group = _GROUP.match(self._pattern, self._position)
        if group:
            self._position = group.end()
            inner = self._alternatives()
            if self._pattern[self._position : self._position + 1] != ")":
                raise _UnreadableError(self._pattern)
            self._position += 1
            return inner
        atom = _ATOM.match(self._pattern, self._position)
        if atom is None:
            raise _UnreadableError(self._pattern)
        self._position = atom.end()
        return _character(atom.group())

    def _repetitions(self) -> int:
        quantifier = _QUANTIFIER.match(self._pattern, self._position)
        if quantifier is None:
            return 1
        self._position = quantifier.end()
        sign, low, comma, high = quantifier.groups()
        if sign in "?*+":
            least, most = (1 if sign == "+" else 0), (1 if sign == "?" else _MOST_REPETITIONS)
        else:
            least = int(low or 0)
            most = int(high) if high else (least + _MOST_REPETITIONS if comma else least)
        return min(least + self._extra, most)


def _character(atom: str) -> str:
    if atom in ("^", "$", r"\b"):
        return ""
    if len(atom) == 1 and atom != ".":
        return atom
    class_start = atom[1:2] if atom.startswith("[") and atom[1:2] not in "^\\" else ""
    for candidate in _CANDIDATES + class_start:
        if re.fullmatch(atom, candidate):
            return candidate
    literal = atom[1:] if atom.startswith("\\") and len(atom) == 2 else ""
    if literal and re.fullmatch(atom, literal):
        return literal
    raise _UnreadableError(atom)
