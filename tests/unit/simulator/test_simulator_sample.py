"""A sample fits its schema: checked with a validator of another make."""

from typing import Any

import jsonschema_rs
import pytest

from simulator.sample import sample

SCHEMAS: dict[str, Any] = {
    "object": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]},
    "enum": {"enum": ["red", "green"]},
    "const": {"const": {"k": [1]}},
    "default": {"type": "integer", "default": 7},
    "nullable": {"type": ["null", "integer"]},
    "any of": {"anyOf": [{"type": "null"}, {"type": "number", "minimum": 2.5}]},
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "array": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    "unique enum": {"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 2, "uniqueItems": True},
    "empty array": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "exclusive": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
    "multiple": {"type": "integer", "minimum": 11, "multipleOf": 5},
    "negative": {"type": "integer", "maximum": -4},
    "length": {"type": "string", "minLength": 12, "maxLength": 14},
    "short": {"type": "string", "maxLength": 2},
    "email": {"type": "string", "format": "email"},
    "date-time": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    "long pattern": {"type": "string", "pattern": r"^[^@]+@[a-z]+\.(com|org)$", "minLength": 20},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "required only": {"type": "object", "required": ["free"]},
    "ref": {"$ref": "#/$defs/p", "$defs": {"p": {"type": "object", "properties": {"x": {"type": "null"}}}}},
    "recursive": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["next", "children"],
            }
        },
    },
    "expression": {
        "$ref": "#/$defs/expression",
        "$defs": {
            "expression": {"anyOf": [{"$ref": "#/$defs/sum"}, {"$ref": "#/$defs/leaf"}]},
            "sum": {
                "type": "object",
                "properties": {"l": {"$ref": "#/$defs/expression"}, "r": {"$ref": "#/$defs/expression"}},
                "required": ["l", "r"],
            },
            "leaf": {"type": "number"},
        },
    },
    "true": True,
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_sample_fits_its_schema(name: str) -> None:
    """A sample is valid by its own schema, formats included."""
    jsonschema_rs.validator_for(SCHEMAS[name], validate_formats=True).validate(sample(SCHEMAS[name]))


def test_sample_is_deterministic() -> None:
    """The same schema gives the same value."""
    assert sample(SCHEMAS["recursive"]) == sample(SCHEMAS["recursive"])


def test_sample_ends_on_a_schema_that_requires_itself() -> None:
    """A schema that no finite value fits still gets an answer."""
    schema = {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}
    assert isinstance(sample(schema), dict)
    assert sample({"$ref": "#"}) is not None
    twice = {"type": "object", "properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}, "required": ["l", "r"]}
    assert isinstance(sample(twice), dict)
