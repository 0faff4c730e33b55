"""A value that fits a JSON schema: deterministic, small, the same for the same schema."""

from typing import Any

from simulator.sample_text import sample_string

#: Depth from which on only what a schema requires is made.
OPTIONAL_DEPTH = 4

#: Depth at which a value ends, whatever the schema says: a schema may require itself for ever.
MAX_DEPTH = 40

#: Values that one sample is made of at most, for a schema that requires itself more than once.
MAX_VALUES = 10_000


def sample(schema: Any) -> Any:
    """Return a value that fits ``schema``, a JSON schema (an object, or true).

    Constants, enumerations, defaults, bounds, references, formats and simple patterns are followed; ``not``,
    ``if`` and patterns of property names are not.
    """
    return _Sampler(schema).value(schema, 0)


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._values_left = MAX_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        self._values_left -= 1
        if not isinstance(schema, dict):
            return "sample"
        if self._values_left <= 0:
            depth = MAX_DEPTH
        schema = self._flatten(schema, depth)
        if given := _given(schema):
            return given[0]
        kind = _type_of(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        return _scalar(schema, kind)

    def _flatten(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Return ``schema`` with its references, ``allOf`` and one alternative of the others written into it."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                siblings = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merge(siblings, self._resolve(schema["$ref"]))
            elif schema.get("allOf"):
                parts = schema["allOf"]
                schema = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merge(schema, self._flatten(part, depth) if isinstance(part, dict) else {})
            elif schema.get("anyOf") or schema.get("oneOf"):
                key = "anyOf" if schema.get("anyOf") else "oneOf"
                chosen = _choose(schema[key], depth)
                schema = _merge({name: value for name, value in schema.items() if name != key}, chosen)
            else:
                break
        return schema

    def _resolve(self, reference: str) -> dict[str, Any]:
        target = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if name:
                target = target.get(name, {}) if isinstance(target, dict) else {}
        return target if isinstance(target, dict) else {}

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if name in required or depth < OPTIONAL_DEPTH]
        names += [name for name in required if name not in properties]
        found: dict[str, Any] = {}
        for name in names if depth < MAX_DEPTH else []:
            found[name] = self.value(properties.get(name, {}), depth + 1)
        others = schema.get("additionalProperties")
        while len(found) < schema.get("minProperties", 0) and depth < MAX_DEPTH:
            found[f"key{len(found) + 1}"] = self.value(others, depth + 1)
        return found

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        rest = schema.get("items", {})
        if isinstance(rest, list):
            first, rest = rest, schema.get("additionalItems", {})
        least = schema.get("minItems", 0)
        wanted = max(least, len(first), 1) if depth < OPTIONAL_DEPTH else least
        wanted = min(wanted, schema.get("maxItems", wanted)) if depth < MAX_DEPTH else 0
        if rest is False:
            wanted = min(wanted, len(first))
        items = [self.value(first[i] if i < len(first) else rest, depth + 1) for i in range(wanted)]
        if schema.get("uniqueItems"):
            items = self._unique(items, rest)
        return items

    def _unique(self, items: list[Any], schema: Any) -> list[Any]:
        """Make ``items`` differ: by the other values of an enumeration, by counting up, or by a number at the end."""
        values = self._flatten(schema, 0).get("enum") if isinstance(schema, dict) else None
        if values:
            return list(values[: len(items)])
        return [_vary(item, number) for number, item in enumerate(items)]


def _given(schema: dict[str, Any]) -> list[Any]:
    """Return the values that the schema itself names."""
    values = [schema[key] for key in ("const", "default") if key in schema]
    return values[:1] or list(schema.get("enum") or [])


def _scalar(schema: dict[str, Any], kind: str) -> Any:
    if kind in ("integer", "number"):
        return _number(schema, kind)
    return {"boolean": True, "null": None}[kind] if kind in ("boolean", "null") else sample_string(schema)


def _type_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if any(key in schema for key in ("properties", "required", "additionalProperties")):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _choose(alternatives: list[Any], depth: int) -> dict[str, Any]:
    """Return the first alternative that is not null; deep down one that ends a recursion is preferred.

    Whether a reference does cannot be seen here, so that deep down the alternatives take turns.
    """
    schemas = [one for one in alternatives if isinstance(one, dict)] or [{}]
    if depth >= OPTIONAL_DEPTH:
        ends = [one for one in schemas if "$ref" not in one and _type_of(one) not in ("object", "array")]
        return ends[0] if ends else schemas[depth % len(schemas)]
    return next((one for one in schemas if one.get("type") != "null"), schemas[0])


def _merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **more}
    for key in ("properties", "$defs", "definitions"):
        if key in base and key in more:
            merged[key] = {**base[key], **more[key]}
    if "required" in base and "required" in more:
        merged["required"] = list(dict.fromkeys([*base["required"], *more["required"]]))
    return merged


def _number(schema: dict[str, Any], kind: str) -> int | float:
    """Return the number nearest to 1 that is within the bounds, and a multiple where that is asked for."""
    whole = kind == "integer"
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    low, high = schema.get("minimum"), schema.get("maximum")
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    value: float = 1
    if high is not None:
        value = min(value, high)
    if under is not None and value >= under:
        value = under - step
    if low is not None:
        value = max(value, low)
    if over is not None and value <= over:
        value = over + step
    if under is not None and over is not None and value >= under:
        value = (under + over) / 2
    if whole or "multipleOf" in schema:
        value = -(-value // step) * step
    return int(value) if whole else value


def _vary(item: Any, number: int) -> Any:
    if number == 0 or isinstance(item, bool) or item is None:
        return item
    if isinstance(item, int | float):
        return item + number
    if isinstance(item, str):
        return f"{item}{number}"
    if isinstance(item, dict):
        for key, value in item.items():
            varied = _vary(value, number)
            if varied != value:
                return {**item, key: varied}
    return item
