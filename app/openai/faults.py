"""What pydantic finds wrong with a request, as OpenAI's error: the `param` is spelled as there (`messages[0].content`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app import errors
from app.error_codes import ErrorCode

if TYPE_CHECKING:
    from pydantic import ValidationError

    from app.errors import ErrorReply

_MESSAGE_CHARACTERS = 500


def from_validation(error: ValidationError, body: Any = None) -> ErrorReply:
    """The first fault as an error reply. With the `body` that was validated, names of union members are left out."""
    found = error.errors(include_url=False, include_input=False)
    # A union reports each member's complaint: the one that got furthest is about what the client meant.
    first = max(found, key=lambda one: len(one["loc"]))
    kind, reason = first["type"], first["msg"]
    param = str(first.get("ctx", {}).get("param", "")) if kind == "at_param" else ""
    param = param or spell(first["loc"], body)
    reason = reason.removeprefix("Value error, ")
    if kind == "missing":
        return errors.invalid_request(
            f"Missing required parameter: '{param}'.", param=param, code=ErrorCode.MISSING_REQUIRED_PARAMETER
        )
    code = ErrorCode.INVALID_TYPE if kind.endswith("_type") else ErrorCode.INVALID_VALUE
    return errors.invalid_request(f"Invalid '{param}': {reason}"[:_MESSAGE_CHARACTERS], param=param or None, code=code)


def spell(location: Sequence[str | int], body: Any) -> str:
    """The location that pydantic gives, in OpenAI's spelling. A step that is not in the body is a union's member, unless it is last."""
    spelled = ""
    here = body
    for index, step in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(step, int):
            spelled += f"[{step}]"
            here = here[step] if isinstance(here, list) and step < len(here) else None
        elif isinstance(here, Mapping):
            if step in here:
                here = here[step]
            elif not is_last:
                continue
            spelled += f".{step}" if spelled else step
        elif body is None:
            spelled += f".{step}" if spelled else step
    return spelled
