"""OpenAI's own description of its API, for tests; it is no part of the project and may not be there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def openai_schema(name: str) -> Callable[[Any], None]:
    """A check against a schema of OpenAI's own description of its API; skips the test where that file is not there."""
    path = Path(__file__).parents[2] / "shared" / "openai-openapi" / "subset.patched.json"
    if not path.exists():
        pytest.skip("OpenAI's description of its API is not there")
    described = json.loads(path.read_text())
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)

    def check(value: Any) -> None:
        faults = [f"{list(fault.instance_path)}: {fault.message}"[:500] for fault in validator.iter_errors(value)]
        assert not faults, faults

    return check
