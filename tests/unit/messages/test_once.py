"""What a request costs in parsing and compiling, in the API and in a worker."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pydantic_core
import pytest

from app import json_text
from app.messages import check, to_claude
from app.messages.answer import ToolCall
from app.openai.accept import accept
from app.settings import Settings
from tests.engine import answer
from workers.claude.dialect import to_cli

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "number", "schema": SCHEMA}}
STRICT = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often JSON was parsed and written, and a schema compiled."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str, what: str) -> None:
        real: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any, **keywords: Any) -> Any:
            counts[what] += 1
            return real(*args, **keywords)

        monkeypatch.setattr(module, name, counting)

    count(pydantic_core, "from_json", "parsed")
    count(json, "loads", "parsed")
    count(json, "dumps", "written")
    count(jsonschema_rs, "validator_for", "compiled")
    return counts


@pytest.mark.parametrize(
    ("fields", "schemas"),
    [
        ({}, 0),
        ({"response_format": FORMAT}, 1),
        ({"tools": [STRICT]}, 1),
        ({"tools": [STRICT], "tool_choice": "required"}, 1),
    ],
    ids=["text", "value", "function", "forced function"],
)
def test_each_process_parses_a_request_and_compiles_its_schema_once(
    counted: Counter[str], fields: dict[str, Any], schemas: int
) -> None:
    """From the body to the queue, and from the queue to what Claude's CLI gets and the check of its answer."""
    body = json.dumps({"model": "sonnet", "messages": [{"role": "user", "content": "Hello."}], **fields}).encode()
    counted.clear()
    stored = json.dumps(accept(json_text.parse(body), Settings()).payload)
    assert counted == Counter(parsed=1, written=1, compiled=schemas)
    counted.clear()
    request = to_claude(json.loads(stored))
    to_cli(request).prompt.in_body(request.system, is_bare=True)
    call = (ToolCall("toolu_1", "f", {"n": 1}, '{"n": 1}'),)
    calls = {"value_calls": call} if request.output.value else {"tool_calls": call} if request.output.functions else {}
    check(answer("", **calls), request.output)
    assert (counted["parsed"], counted["compiled"]) == (1, schemas)
