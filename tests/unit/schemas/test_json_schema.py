"""Schemas that clients send."""

from __future__ import annotations

from typing import Any

import pytest

from app.schemas.json_schema import SchemaError, compile_schema


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "object", "required": ["a"]}, {"a": 1}, {}),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, "x", 5),
        ({"items": [{"type": "string"}], "type": "array"}, ["x"], [5]),
        ({"prefixItems": [{"type": "string"}]}, ["x"], [5]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer"}, 5, "x"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "format": "date"}, "2026-11-27", "no"),
        ({"format": "date"}, "no", None),
        ({"type": "string", "discriminator": {"propertyName": "kind"}}, "x", 5),
        ({"$defs": {"N": {"properties": {"n": {"$ref": "#/$defs/N"}}, "type": "object"}}, "$ref": "#/$defs/N"}, {"n": {}}, {"n": 5}),
        (True, 1, None),
    ],
)  # fmt: skip
def test_validates(schema: Any, valid: Any, invalid: Any) -> None:
    """Every draft that clients emit makes a validator that tells right from wrong."""
    validator = compile_schema(schema)
    assert validator.is_valid(valid)
    assert invalid is None or not validator.is_valid(invalid)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"$ref": "#/$defs/none"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$schema": "http://example.com/mine"},
        {"pattern": "("},
        {"properties": 5},
    ],
)
def test_refused(schema: Any) -> None:
    """What is no schema, or leads elsewhere, is refused; nothing is fetched."""
    with pytest.raises(SchemaError):
        compile_schema(schema)
