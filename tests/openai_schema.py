"""OpenAI's own description of its API, for tests; it is no part of the project and may not be there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def described(*names: str) -> set[str]:
    """The properties that these schemas have by themselves."""
    found: set[str] = set()
    for name in names:
        schema = _schemas()["schemas"][name]
        for one in (schema, *schema.get("allOf", ())):
            found |= set(one.get("properties", ()))
    return found


def openai_schema(name: str) -> Callable[[Any], None]:
    """A check against a schema of OpenAI's own description of its API; skips the test where that file is not there."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": _schemas()}
    validator = jsonschema_rs.Draft202012Validator(schema)

    def check(value: Any) -> None:
        faults = [f"{list(fault.instance_path)}: {fault.message}"[:500] for fault in validator.iter_errors(value)]
        assert not faults, faults

    return check


def _schemas() -> dict[str, Any]:
    path = Path(__file__).parents[2] / "shared" / "openai-openapi" / "subset.patched.json"
    if not path.exists():
        pytest.skip("OpenAI's description of its API is not there")
    found: dict[str, Any] = json.loads(path.read_text())["components"]
    for one in found["schemas"]["Response"].get("allOf", ()):
        # Null until it is known in OpenAI's own examples of streams, and by the Open Responses specification.
        if usage := one.get("properties", {}).get("usage"):
            one["properties"]["usage"] = {"anyOf": [usage, {"type": "null"}]}
    return found
