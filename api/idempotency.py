"""The fence of the request that is being answered: from its `Idempotency-Key`, or from its body when its client tries again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from flask import request

from api import auth
from app import errors, idempotency

if TYPE_CHECKING:
    from app.idempotency import Fence

MAX_KEY = 255
KEY = "Idempotency-Key"
#: the header as JSON schema, for `described`
HEADER: dict[str, Any] = {KEY: {"type": "string", "minLength": 1, "maxLength": MAX_KEY}}


def fence(body: bytes, value: Any = None) -> Fence:
    """Of a request with that body, and its `value` where it was parsed already. Raises `ErrorReply` (400) for a key that is none."""
    if KEY in request.headers:
        return fence_of(idempotency.fingerprint(body, value))
    # Clients send the same bytes again, so that nothing needs to be parsed.
    return fence_of(hashlib.sha256(body).hexdigest())


def fence_of(fingerprint: str) -> Fence:
    """The same, for a request whose content was read in another way. Raises `ErrorReply` (400)."""
    scope = f"{auth.caller()}\n{request.path}"
    key = request.headers.get(KEY)
    if key is None:
        return idempotency.by_content(scope, fingerprint, is_retry=_is_retry())
    if not 0 < len(key) <= MAX_KEY:
        raise errors.invalid_request(f"{KEY} takes 1 to {MAX_KEY} characters.", param=KEY)
    return idempotency.by_key(scope, key, fingerprint)


def fingerprint_of(*parts: str) -> str:
    """Of what was sent in several parts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _is_retry() -> bool:
    """Whether OpenAI's client says that it has sent this request before."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
