"""Anthropic's errors: statuses, types and body, spelled as on the wire.

Source: https://docs.claude.com/en/api/errors.
"""

import json
from typing import Any

#: The error type that the Messages API documents for each status.
TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ApiError(Exception):
    """The request is answered with an error: an HTTP status, a type and a message for the client to read."""

    def __init__(
        self,
        status: int,
        message: str,
        error_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type or type_for(status)
        self.headers = headers or {}


def type_for(status: int) -> str:
    """Return the documented error type of ``status``, or the nearest one when it has none."""
    return TYPE_OF_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def error_object(error_type: str, message: str, request_id: str | None = None) -> dict[str, Any]:
    """Return ``{"type": "error", "error": {"type", "message"}, "request_id"}``; no id, no ``request_id``."""
    body: dict[str, Any] = {"type": "error", "error": {"type": error_type, "message": message}}
    if request_id is not None:
        body["request_id"] = request_id
    return body


def error_body(error: ApiError, request_id: str) -> bytes:
    """Return the JSON body that answers a request with ``error``."""
    return json.dumps(error_object(error.error_type, error.message, request_id)).encode()
