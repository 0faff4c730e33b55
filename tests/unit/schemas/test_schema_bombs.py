"""Small schemas that would take for ever, or the process with them: looked at in a sandbox, and refused when they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.errors import ErrorReply
from app.messages.answer import Answer
from app.messages.checks import Mismatch, check
from app.messages.output_spec import output_spec
from app.messages.schema import shape_of
from app.openai.accept import accept
from app.schemas import sandbox
from app.schemas.cost import may_explode
from app.schemas.json_schema import compile_schema
from app.schemas.sandbox import Sandboxed, TooSlowError
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def chain(length: int, **step: Any) -> dict[str, Any]:
    """Definitions that each refer to the next one, by what `step` has in the place of `next`."""

    def put(value: Any, to: str) -> Any:
        if isinstance(value, list):
            return [put(one, to) for one in value]
        return {"$ref": to} if value == "next" else value

    definitions = {
        f"d{n}": {word: put(value, f"#/$defs/d{n + 1}") for word, value in step.items()} for n in range(length)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{length}": {"type": "object"}}}


TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    },
}


#: each kind of node has nodes: to tell that a deep value is none takes twice as long with each level
UNION: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "anyOf": [
                {"type": "object", "properties": {"of": {"$ref": "#/$defs/node"}}, "required": ["of", kind]}
                for kind in ("a", "b")
            ]
            + [{"type": "integer"}]
        }
    },
}
ROOT = {"type": "object", "properties": {"x": {"$ref": "#/$defs/node"}}}


@pytest.mark.parametrize(
    "schema",
    [
        chain(30, allOf=["next", "next"]),
        chain(2000, allOf=["next"], unevaluatedProperties=False),
        chain(1000, anyOf=["next"]),
        {"$ref": "#"},
        {"$ref": "#anchor"},
        UNION,
    ],
)
def test_what_is_looked_at_apart(schema: dict[str, Any]) -> None:
    """References that multiply, that go on for long, that lead back, or that lead nobody knows where."""
    assert may_explode(schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        chain(30, allOf=["next"]),
        chain(8, allOf=["next", "next"]),
        TREE,
        {"properties": {"left": {"$ref": "#"}, "right": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}},
        {"properties": {f"p{n}": {"$ref": "#/$defs/a"} for n in range(500)}, "$defs": {"a": {"enum": ["x", "y"]}}},
        {"properties": {"$ref": {"type": "string"}}},
    ],
)
def test_what_is_looked_at_here(schema: dict[str, Any]) -> None:
    """Size by itself is no bomb, nor are references that end soon."""
    assert not may_explode(schema)


def test_a_schema_that_kills_is_refused() -> None:
    """A request with one is a 400 that names the field, and this process lives."""
    bomb = chain(2000, allOf=["next"], unevaluatedProperties=False)
    body = {"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": bomb}}
    with pytest.raises(ErrorReply) as caught:
        accept({**body, "response_format": form}, Settings())
    assert (caught.value.status, caught.value.param) == (400, "response_format.json_schema.schema")
    assert "references" in caught.value.message


def test_a_recursive_union_is_a_schema() -> None:
    """It validates as any other; its faults have their place."""
    validator = compile_schema({**UNION, "$ref": "#/$defs/all", "$defs": {**UNION["$defs"], "all": ROOT}})
    assert isinstance(validator, Sandboxed)
    assert validator.is_valid({"x": {"of": 1, "a": 0}})
    assert [list(one.instance_path) for one in validator.iter_errors({"x": {"of": 1}})] == [["x"]]


def test_a_check_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that can't be checked in time does not fit, and it is said why."""
    monkeypatch.setattr(sandbox, "CHECK_SECONDS", 1)
    schema = chain(40, anyOf=["next", "next"])
    with pytest.raises(TooSlowError):
        compile_schema(schema).is_valid(1)
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(Mismatch, match="could not be checked"):
        check(
            Answer(text="1", message_ids=("msg_1",), stop_reason="end_turn", model="m", usage={}, cost_usd=0),
            output_spec({"messages": [], "response_format": format_}),
        )


def test_a_long_chain_is_translated() -> None:
    """What references lead to is followed without a stack of its length."""
    assert len(shape_of(chain(1500, allOf=["next"])).input_schema["$defs"]) == 1500


def test_the_users_own_directory_is_none_of_our_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema is looked at wherever the server was started, beside somebody's package `app` too."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    found, reason, _ = sandbox.read({**UNION, "title": "looked at here alone"})
    assert found is not None, reason


def test_a_busy_machine_condemns_no_schema_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be looked at in time is looked at again when it is sent again."""
    schema = {**UNION, "title": "looked at twice"}
    with monkeypatch.context() as busy:
        busy.setattr(sandbox, "_WALL", 0.001)
        assert sandbox.read(schema)[0] is None
    assert sandbox.read(schema)[0] is not None
