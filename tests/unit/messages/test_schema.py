"""Schemas of any draft as inputs of Claude's tools."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.messages.schema import shape_of
from app.schemas.json_schema import SchemaError, compile_in_place, compile_schema

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def accepts(schema: Any, value: Any) -> bool:
    """Whether the shape that is made of a schema takes a value as the answer."""
    shape = shape_of(schema)
    return compile_schema(shape.input_schema).is_valid({"value": value} if shape.is_wrapped else value)


@pytest.mark.parametrize(
    ("schema", "is_wrapped"),
    [
        (OBJECT, False),
        ({"$defs": {"A": OBJECT}, "$ref": "#/$defs/A"}, False),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"A": OBJECT}, "$ref": "#/definitions/A"}, False),
        ({"anyOf": [OBJECT, {"type": "null"}]}, True),
        ({**OBJECT, "oneOf": [{"required": ["n"]}]}, True),
        ({"type": "array", "items": OBJECT}, True),
        ({"type": "string"}, True),
        ({"enum": [1, 2]}, True),
        ({"type": ["object", "null"], "properties": {"n": {}}}, True),
        ({"type": "object"}, True),
        ({"type": "object", "properties": {"名前": {"type": "string"}}}, True),
        ({"type": "object", "properties": {"x" * 65: {}}}, True),
        ({}, True),
        (True, True),
    ],
)  # fmt: skip
def test_what_is_wrapped(schema: Any, is_wrapped: bool) -> None:
    """Only an object with properties of plain names stands as it is; the API takes no other roots."""
    shape = shape_of(schema)
    assert shape.is_wrapped is is_wrapped
    root = shape.input_schema
    assert root["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & root.keys()
    assert all(re.fullmatch("[a-zA-Z0-9_.-]{1,64}", name) for name in root["properties"])


def test_a_function_without_parameters_stays_empty() -> None:
    """Nothing is to be filled in there."""
    assert shape_of({"type": "object", "properties": {}}, may_be_empty=True).is_wrapped is False
    assert (
        shape_of({"type": "object", "additionalProperties": {"type": "string"}}, may_be_empty=True).is_wrapped is True
    )


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, ["a"], [1]),
        ({"type": "array", "items": [{"type": "string"}], "additionalItems": False}, ["a"], ["a", 1]),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}, 2, 1),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": {"required": ["b"]}}}, {"b": 1}, {"a": 1}),
        ({"definitions": {"A": {"items": {"$ref": "#/definitions/A"}, "type": "array"}}, "$ref": "#/definitions/A"}, [[]], [1]),
        ({"type": "object", "properties": {"c": {"$ref": "#"}}, "additionalProperties": False}, {"c": {}}, {"c": {"d": 1}}),
        ({"properties": {"a": {"type": "string"}, "b": {"$ref": "#/properties/a"}}}, {"b": "x"}, {"b": 1}),
        ({"oneOf": [{"$ref": "#/$defs/C"}], "discriminator": {"propertyName": "k"}, "$defs": {"C": {"properties": {"k": {"const": "c"}}}}}, {"k": "c"}, {"k": "d"}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/A", "maxLength": 0, "definitions": {"A": {"type": "string"}}}, "long", 1),
        ({"type": "string", "x-order": 1, "nullable": True, "example": "a"}, "a", 1),
    ],
)  # fmt: skip
def test_the_meaning_stays(schema: Any, good: Any, bad: Any) -> None:
    """In draft 2020-12 it accepts and refuses what it did in its own draft."""
    compiled = compile_schema(schema)
    assert (compiled.is_valid(good), compiled.is_valid(bad)) == (True, False), "the example itself"
    assert (accepts(schema, good), accepts(schema, bad)) == (True, False)


def test_unknown_words_go_and_annotations_stay() -> None:
    """What guides the model is kept: titles, descriptions, defaults, examples, formats."""
    kept = {"title": "T", "description": "D", "default": "d", "examples": ["e"], "format": "email", "type": "string"}
    schema = {"type": "object", "properties": {"a": {**kept, "x-y": 1, "nullable": True, "$comment": "c"}}}
    assert shape_of(schema).input_schema["properties"]["a"] == kept


def test_names_of_properties_are_no_words() -> None:
    """Properties may be called as anything, the words of JSON Schema included."""
    names = {"$ref": {"type": "string"}, "id": {"type": "integer"}, "if": {}, "x-a": {}}
    assert accepts({"type": "object", "properties": names, "required": ["id"]}, {"id": 1, "$ref": "a"})
    shape = shape_of({"type": "object", "properties": {"id": {"oneOf": [{"type": "integer"}]}, "not": {}}})
    assert shape.input_schema["properties"] == {"id": {"oneOf": [{"type": "integer"}]}, "not": {}}


def test_large_and_deep_schemas() -> None:
    """Size is no obstacle, nor is the depth that passes the door."""
    large = {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "description": "d" * 300} for n in range(1000)},
    }
    assert len(str(shape_of(large).input_schema)) > 300_000
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(240):
        deep = {"type": "array", "items": deep}
    assert shape_of(deep).is_wrapped


def test_unwrapping() -> None:
    """The value comes out of the wrapper, also where the model forgot it and where the text was cut."""
    shape = shape_of({"type": "array"})
    assert shape.value_of({"value": [1]}) == [1]
    assert shape.value_of({"other": 1}) == {"other": 1}
    assert shape.text_of(' {"value" : [1, 2') == "[1, 2"
    assert shape_of(OBJECT).value_of({"value": 1}) == {"value": 1}


# -- generated schemas and values ------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "$ref", "id"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
_COUNTS = st.integers(0, 3)
_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(_VALUES, min_size=1, max_size=3, unique_by=repr),
    "const": _VALUES,
    "minimum": st.integers(-2, 2),
    "exclusiveMaximum": st.integers(-2, 3),
    "maxLength": _COUNTS,
    "pattern": st.sampled_from(["^a", "b$"]),
    "minItems": _COUNTS,
    "uniqueItems": st.booleans(),
    "required": st.lists(_NAMES, max_size=2, unique=True),
    "maxProperties": _COUNTS,
    "format": st.sampled_from(["email", "date"]),
    "dependentRequired": st.dictionaries(_NAMES, st.lists(_NAMES, max_size=2, unique=True), max_size=1),
    "minContains": _COUNTS,
    "maxContains": _COUNTS,
    "x-other": _VALUES,
    "$ref": st.sampled_from(["#", "#/$defs/d", "#/definitions/e"]),
    "$dynamicRef": st.just("#/$defs/d"),
}


def _nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(_NAMES, inner, max_size=2)
    words = {
        **_LEAVES,
        **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), named),
        **dict.fromkeys(("not", "if", "then", "else", "additionalProperties", "unevaluatedProperties"), inner),
        **dict.fromkeys(("contains", "propertyNames", "unevaluatedItems", "additionalItems"), inner),
        "items": inner | some,
        "dependencies": st.dictionaries(_NAMES, inner | st.lists(_NAMES, max_size=2, unique=True), max_size=1),
    }
    return st.fixed_dictionaries({}, optional=words)


_SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=_LEAVES), _nodes, max_leaves=5)
_DRAFTS = st.sampled_from(
    [
        None,
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(root=_SCHEMAS, first=_SCHEMAS, second=_SCHEMAS, draft=_DRAFTS, values=st.lists(_VALUES, min_size=5, max_size=12))
def test_never_stricter(root: Any, first: Any, second: Any, draft: str | None, values: list[Any]) -> None:
    """Whatever a schema accepts in its own draft, the shape made of it accepts, and that is a schema of 2020-12."""
    if isinstance(root, dict):
        root = {**root, "$defs": {"d": first}, "definitions": {"e": second}}
        if draft is not None:
            root["$schema"] = draft
    try:
        compiled = compile_in_place(root)
    except SchemaError:
        return
    # All in this process: these are small, and a process for each loop would take minutes.
    with patch("app.schemas.json_schema.may_explode", return_value=False):
        shape = shape_of(root)
    cleaned = compile_in_place({"$schema": "https://json-schema.org/draft/2020-12/schema", **shape.input_schema})
    for value in values:
        if compiled.is_valid(value) and (shape.is_wrapped or isinstance(value, dict)):
            assert cleaned.is_valid({"value": value} if shape.is_wrapped else value), (root, value, shape)
