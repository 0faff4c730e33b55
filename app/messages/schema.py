"""Schemas as Claude's API takes them for a tool's input, whatever draft a client wrote them in.

The API wants draft 2020-12 and, at the root, an object with properties of plain names and nothing alternative. So a
schema is rewritten into that draft's words, with every reference into `$defs`; a root that is something else is put into
an object of one property and its value taken out again. The result only guides the model: answers are checked against
the client's own schema (`app.messages.checks`), so where words differ the result is looser, never stricter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from app.messages.schema_words import ANNOTATIONS, LISTS, LOOSE, MAPS, SINGLE, WORDS, legacy
from app.schemas.json_schema import Schema, Validator, compile_schema, draft_of

#: the one property of the object that a root is put into
WRAPPER = "value"
#: what the API takes for names of properties at the root
_PLAIN_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
#: what a root may not have
_ALTERNATIVES = frozenset({"anyOf", "oneOf", "allOf", "$ref", "enum", "const", "not", "if"})
#: references that are followed to find what the root is
_MAX_STEPS = 20


@dataclass(frozen=True)
class Shape:
    """The input that a tool gets so that it holds a value of some schema."""

    input_schema: dict[str, Any]
    is_wrapped: bool
    #: of values, as the schema has it that the client wrote
    validator: Validator = field(compare=False, repr=False)

    def value_of(self, given: Any) -> Any:
        """The value in a tool's input. A model that forgot the wrapper has given the value itself."""
        if self.is_wrapped and isinstance(given, dict) and WRAPPER in given:
            return given[WRAPPER]
        return given

    def text_of(self, given: str) -> str:
        """The same for JSON text that was cut: what there is of the value."""
        return re.sub(rf'^\s*\{{\s*"{WRAPPER}"\s*:\s*', "", given) if self.is_wrapped else given


def shape_of(schema: Schema, *, may_be_empty: bool = False) -> Shape:
    """The input for values of `schema`. Raises `SchemaError`.

    An object without properties is wrapped, since models answer an empty form with `{}`; `may_be_empty` leaves it, for
    functions without parameters.
    """
    validator = compile_schema(schema)
    cleaner = _Cleaner(schema, draft_of(validator))
    root = cleaner.clean(cleaner.root())
    cleaner.follow()
    is_plain = isinstance(root, dict) and _is_plain_object(root, may_be_empty=may_be_empty)
    if isinstance(root, dict) and is_plain:
        found = {"properties": {}, **root}
    else:
        found = {
            "type": "object",
            "properties": {WRAPPER: root},
            "required": [WRAPPER],
            "additionalProperties": False,
        }
    if cleaner.definitions:
        found["$defs"] = cleaner.definitions
    return Shape(found, not is_plain, validator)


def _is_plain_object(root: dict[str, Any], *, may_be_empty: bool) -> bool:
    names = root.get("properties", {})
    if root.get("type") != "object" or not _ALTERNATIVES.isdisjoint(root):
        return False
    if not names and not (may_be_empty and "patternProperties" not in root and not root.get("additionalProperties")):
        return False
    return all(_PLAIN_NAME.fullmatch(name) for name in names)


class _Cleaner:
    """One document: rewrites its parts, and collects what its references lead to."""

    def __init__(self, document: Schema, draft: int) -> None:
        self._document = document
        self._draft = draft
        self._names: dict[str, str] = {}
        self._is_loose = _has_loose_words(document, self._draft)
        self.definitions: dict[str, Any] = {}
        self._to_follow: list[tuple[str, Any]] = []

    def follow(self) -> None:
        """Rewrite what references lead to; not where they are met, for a long chain of them would exhaust the stack."""
        while self._to_follow:
            name, target = self._to_follow.pop(0)
            self.definitions[name] = self.clean(target)

    def root(self) -> Any:
        """The root, or what it merely refers to, as recursive models are written."""
        found: Any = self._document
        for _ in range(_MAX_STEPS):
            if not isinstance(found, dict) or "$ref" not in found:
                break
            rest = found.keys() - ANNOTATIONS - {"$ref", "$defs", "definitions", "$schema", "$id"}
            if rest and not legacy(self._draft):
                break
            is_there, target = self._resolve(found["$ref"])
            if not is_there:
                break
            found = target
        return found

    def clean(self, schema: Any) -> Any:
        """The schema in words of draft 2020-12."""
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema and legacy(self._draft):
            # In these drafts a reference ignores what is beside it.
            schema = {word: value for word, value in schema.items() if word in ANNOTATIONS or word == "$ref"}
        schema = self._translated(schema)
        found: dict[str, Any] = {}
        for word, value in schema.items():
            if word == "$ref":
                found |= self._reference(value)
            elif word in SINGLE:
                found[word] = self.clean(value)
            elif word in LISTS:
                found[word] = [self.clean(one) for one in value]
            elif word in MAPS:
                found[word] = {name: self.clean(one) for name, one in value.items()}
            elif word in WORDS:
                found[word] = value
        return found

    def _translated(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Without what its draft does not know, and what later drafts spell otherwise in their words."""
        found = {word: value for word, value in schema.items() if WORDS.get(word, 0) <= self._draft}
        if self._draft < 2020:
            _translate_tuple(found)
        if legacy(self._draft):
            _translate_dependencies(found)
        if self._draft == 4:
            _translate_exclusive(found)
        if self._is_loose:
            _loosen(found)
        return found

    def _reference(self, to: str) -> dict[str, Any]:
        is_there, target = self._resolve(to)
        if not is_there:
            return {}
        if to not in self._names:
            name = self._new_name(to)
            self._names[to] = name
            self.definitions[name] = {}
            self._to_follow.append((name, target))
        return {"$ref": f"#/$defs/{self._names[to]}"}

    def _new_name(self, to: str) -> str:
        wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", to.rpartition("/")[2]).strip("_#")[:60] or "root"
        name, number = wanted, 1
        while name in self.definitions:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _resolve(self, to: Any) -> tuple[bool, Any]:
        """Whether it leads to a place in this document, and what is there. Anchors and ids are not followed."""
        if not isinstance(to, str) or not (to == "#" or to.startswith("#/")):
            return False, None
        found: Any = self._document
        for step in to[2:].split("/") if len(to) > 1 else ():
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                return False, None
        return True, found


def _translate_tuple(schema: dict[str, Any]) -> None:
    """`items: [...]` and `additionalItems` as `prefixItems` and `items`."""
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        first = schema.pop("items")
        if first:
            schema["prefixItems"] = first
        if rest is not None:
            schema["items"] = rest


def _translate_dependencies(schema: dict[str, Any]) -> None:
    """`dependencies` as the two words that later drafts have for it."""
    for name, needs in (schema.pop("dependencies", None) or {}).items():
        word = "dependentRequired" if isinstance(needs, list) else "dependentSchemas"
        schema[word] = {**schema.get(word, {}), name: needs}


def _translate_exclusive(schema: dict[str, Any]) -> None:
    """Draft 4's `exclusiveMinimum: true` beside `minimum`."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.pop(exclusive, False) is True and bound in schema:
            schema[exclusive] = schema.pop(bound)


def _loosen(schema: dict[str, Any]) -> None:
    """Without the words that become stricter when what they hold becomes looser."""
    for word in ("not", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems", "maxContains"):
        schema.pop(word, None)
    if one_of := schema.pop("oneOf", None):
        if "anyOf" in schema:
            schema["allOf"] = [*schema.get("allOf", ()), {"anyOf": one_of}]
        else:
            schema["anyOf"] = one_of


def _has_loose_words(value: Any, draft: int) -> bool:
    """Whether something in the document can't be said exactly in draft 2020-12 without ids and anchors."""
    if isinstance(value, list):
        return any(_has_loose_words(one, draft) for one in value)
    if not isinstance(value, dict):
        return False
    to = value.get("$ref")
    if isinstance(to, str) and not (to == "#" or to.startswith("#/")):
        return True
    if any(isinstance(value.get(word), str) for word in (*LOOSE, *(("format",) if legacy(draft) else ()))):
        return True
    if draft == 4 and "integer" in value.values():
        return True
    return any(_has_loose_words(one, draft) for one in value.values())
