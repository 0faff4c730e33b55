"""The words of JSON Schema that a rewritten schema may have, and what they hold."""

from __future__ import annotations

#: words that hold one schema
SINGLE = frozenset(
    {
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
#: words that hold a list of schemas
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
#: words that hold schemas by name
MAPS = frozenset({"dependentSchemas", "patternProperties", "properties"})
#: words that say nothing about what is valid
ANNOTATIONS = frozenset({"default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"})
#: words whose meaning is not carried over
LOOSE = frozenset({"$anchor", "$dynamicRef", "$id", "$recursiveRef", "id"})

#: each word and the first draft that knows it; from the drafts' own texts on json-schema.org
WORDS = (
    dict.fromkeys(ANNOTATIONS - {"examples", "readOnly", "writeOnly", "deprecated"}, 4)
    | dict.fromkeys(
        (
            "$ref",
            "additionalProperties",
            "allOf",
            "anyOf",
            "enum",
            "exclusiveMaximum",
            "exclusiveMinimum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minProperties",
            "minimum",
            "multipleOf",
            "not",
            "oneOf",
            "pattern",
            "patternProperties",
            "properties",
            "required",
            "type",
            "uniqueItems",
        ),
        4,
    )
    | dict.fromkeys(("const", "contains", "examples", "propertyNames"), 6)
    | dict.fromkeys(("if", "then", "else", "readOnly", "writeOnly"), 7)
    | dict.fromkeys(
        (
            "dependentRequired",
            "dependentSchemas",
            "deprecated",
            "maxContains",
            "minContains",
            "unevaluatedItems",
            "unevaluatedProperties",
        ),
        2019,
    )
    | {"prefixItems": 2020}
)


def legacy(draft: int) -> bool:
    """Draft 7 and before: `$ref` ignores what is beside it, and `dependencies` is a word."""
    return draft <= 7
