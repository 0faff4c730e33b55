"""Schemas that may take for ever: small ones whose references multiply, as an XML bomb's entities do.

With two references at each of thirty steps, two kilobytes ask for a billion checks; chains of references exhaust the
stack, and end the process. What is found here is no fault: recursive unions are among it. It is looked at in a process
of its own (`app.schemas.sandbox`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

#: what references may add to a schema when each is replaced by what it names, JSON values
MAX_ADDED = 20_000
#: how deep it may then be nested, JSON values
MAX_DEPTH = 150
#: words that make the validator look through all that applies beside them, each time anew, or that lead anywhere
_FAR_REACHING = frozenset({"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"})
#: words whose subschemas apply to different parts of a value
_APART = frozenset({"properties", "prefixItems", "$defs", "definitions"})
_NOT_APPLIED = frozenset({"$defs", "definitions"})
#: words that go down into a value
_DOWN = frozenset(
    {"properties", "prefixItems", "items", "additionalProperties", "patternProperties", "additionalItems"}
)


class _TooCostly(Exception):
    pass


def may_explode(schema: Any) -> bool:
    """Whether it can't be said that it takes little time."""
    if not _refers(schema):
        return False
    try:
        _Unfolding(schema).weigh(schema, 0, 0)
    except (_TooCostly, RecursionError):
        return True
    return False


def _refers(schema: Any) -> bool:
    """Whether anything in it has to be followed: without that a schema takes as long as it is large."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "$ref" in value or not _FAR_REACHING.isdisjoint(value):
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return False


@dataclass(frozen=True)
class _Found:
    """Of one value of the schema: all values below, how deep, and the ways that lead back from one place of an instance."""

    weight: int = 0
    depth: int = 0
    back: Counter[str] = field(default_factory=Counter)


class _Unfolding:
    """Counts the values of a schema, those that references lead to each time that they do."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._added = 0
        self._targets: dict[str, _Found] = {}
        #: references that are being followed, and how far down in a value each target applies
        self._following: dict[str, int] = {"#": 0}

    def weigh(self, value: Any, depth: int, down: int) -> _Found:
        """Raises `_TooCostly`. `down`: how often the way here went down into a value."""
        if depth > MAX_DEPTH:
            raise _TooCostly
        if isinstance(value, list):
            return _sum(self.weigh(one, depth + 1, down) for one in value)
        if not isinstance(value, dict):
            return _Found()
        if not _FAR_REACHING.isdisjoint(value):
            raise _TooCostly
        return _sum(self._word(word, one, depth, down) for word, one in value.items())

    def _word(self, word: str, value: Any, depth: int, down: int) -> _Found:
        if word == "$ref" and isinstance(value, str):
            return self._target(value, depth, down)
        down += word in _DOWN
        if word in _APART and isinstance(value, dict | list):
            each = value.values() if isinstance(value, dict) else value
            found = [self.weigh(one, depth + 2, down) for one in each]
            back: Counter[str] = Counter()
            if word not in _NOT_APPLIED:
                for one in found:
                    back |= one.back
            weight, below = sum(one.weight for one in found), max((one.depth for one in found), default=0)
            return _Found(weight + 1, below + 2, back)
        return self.weigh(value, depth + 1, down)

    def _target(self, to: str, depth: int, down: int) -> _Found:
        if to in self._following:
            if self._following[to] == down:
                raise _TooCostly
            return _Found(back=Counter({to: 1}))
        found = self._targets.get(to)
        if found is None:
            self._following[to] = down
            found = self._targets[to] = self.weigh(self._resolve(to), depth + 1, down)
            del self._following[to]
        self._added += found.weight
        if depth + found.depth > MAX_DEPTH or self._added > MAX_ADDED:
            raise _TooCostly
        # What led back to a place that is done with is a loop beside this one.
        return replace(found, back=Counter({one: times for one, times in found.back.items() if one in self._following}))

    def _resolve(self, to: str) -> Any:
        if not to.startswith("#"):
            # Another document: refused by the compiler, never fetched.
            return None
        if not to.startswith("#/"):
            # An anchor, which may lead anywhere.
            raise _TooCostly
        found = self._document
        for step in to[2:].split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and len(key) < 10 and int(key) < len(found):
                found = found[int(key)]
            else:
                return None
        return found


def _sum(each: Iterable[_Found]) -> _Found:
    """What applies to one place together."""
    weight, depth, back = 1, 0, Counter[str]()
    for one in each:
        weight, depth = weight + one.weight, max(depth, one.depth)
        back.update(one.back)
    if back.total() > 1:
        raise _TooCostly
    return _Found(weight, depth + 1, back)
