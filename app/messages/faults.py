"""What is wrong with a request that is one of OpenAI's, and none that Claude can be asked."""

from __future__ import annotations

from app import errors
from app.error_codes import ErrorCode


def fault(param: str, reason: str) -> errors.ErrorReply:
    """A 400 that names the place. `reason` goes on from `Invalid '...': ` and has no full stop."""
    return errors.invalid_request(f"Invalid '{param}': {reason}.", param, ErrorCode.INVALID_VALUE)
