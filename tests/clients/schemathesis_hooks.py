"""What schemathesis is told beside the OpenAPI document; it imports this module."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import schemathesis

if TYPE_CHECKING:
    from schemathesis import Case, CheckContext, HookContext, Response

#: errors of 500 and above that an API without workers owes
_OWED = {"deadline_exceeded", "no_worker"}
_WAIT_SECONDS = "0.3"


@schemathesis.hook  # type: ignore[untyped-decorator]  # its types are in the clients' environment alone
def before_call(context: HookContext, case: Case, kwargs: Any) -> None:
    """A model that exists, else most requests would end at that; and nobody answers here: wait briefly."""
    del context, kwargs
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = "sonnet"
    if "X-Request-Timeout" in case.headers and _is_long(case.headers["X-Request-Timeout"]):
        case.headers["X-Request-Timeout"] = _WAIT_SECONDS


@schemathesis.check  # type: ignore[untyped-decorator]
def errors_are_openais(ctx: CheckContext, response: Response, case: Case) -> None:
    """No error of ours, and each error with OpenAI's four keys and advice as to trying again."""
    del ctx, case
    if response.status_code < 400:
        return
    assert response.headers["content-type"][0] == "application/json", response.headers
    assert "x-request-id" in response.headers and "x-should-retry" in response.headers
    error = json.loads(response.content)["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["message"] and error["type"], error
    assert response.status_code < 500 or error["code"] in _OWED, error


def _is_long(sent: Any) -> bool:
    try:
        return float(sent) > float(_WAIT_SECONDS)
    except (TypeError, ValueError):
        return False
