"""Is it a JSON schema, and a validator for it. Nothing is ever fetched for one.

The draft is the one that `$schema` names; without it 2020-12, then draft-07, whose `items: [...]` many tools still emit.
"""

from __future__ import annotations

from typing import Any, Protocol

from app.schemas import sandbox
from app.schemas.cost import may_explode
from app.schemas.sandbox import Sandboxed

Schema = dict[str, Any] | bool


class SchemaError(ValueError):
    """It is no JSON schema. The message says where and why; `path` leads there from the schema's root."""

    def __init__(self, message: str, path: list[str | int]) -> None:
        super().__init__(message)
        self.path = path


class Validator(Protocol):
    """What `compile_schema` returns, as far as we use it."""

    def is_valid(self, instance: Any) -> bool:
        """Whether the instance satisfies the schema."""
        ...

    def iter_errors(self, instance: Any) -> Any:
        """The violations, as `jsonschema_rs.ValidationError`."""
        ...


def compile_schema(schema: Schema) -> Validator:
    """A validator for the schema. Raises `SchemaError`, for a reference to another document too.

    One whose references multiply or lead back is held against values in a process of its own (`TooSlowError`).
    """
    if not may_explode(schema):
        return compile_in_place(schema)
    found, reason, path = sandbox.read(schema)
    if found is None:
        raise SchemaError(reason, path)
    return found


def compile_in_place(schema: Schema) -> Validator:
    """The same, whatever the schema does to this process."""
    import jsonschema_rs  # noqa: PLC0415 - 3.5 MB, for those alone who use schemas

    try:
        validator: Validator = jsonschema_rs.validator_for(schema, retriever=_refuse)
    except jsonschema_rs.ValidationError as error:
        if isinstance(schema, dict) and "$schema" not in schema:
            try:
                return jsonschema_rs.Draft7Validator(schema, retriever=_refuse)
            except (jsonschema_rs.ValidationError, ValueError):
                pass
        raise SchemaError(str(error.message)[:300], list(error.instance_path)) from error
    except ValueError as error:
        raise SchemaError(str(error)[:300], []) from error
    return validator


def draft_of(validator: Validator) -> int:
    """The draft that its schema was read by: 4, 6, 7, 2019 or 2020."""
    return validator.draft if isinstance(validator, Sandboxed) else _DRAFTS[type(validator).__name__]


_DRAFTS = {
    "Draft4Validator": 4,
    "Draft6Validator": 6,
    "Draft7Validator": 7,
    "Draft201909Validator": 2019,
    "Draft202012Validator": 2020,
}


def _refuse(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed ({uri[:100]})")
