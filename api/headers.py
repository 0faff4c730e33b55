"""What a request says in its headers: how long it may take, how long its client waits, and by which key it is tried again.

`X-Request-Timeout` is a deadline: the client wants a 504 then, and nothing to run on. The timeout that OpenAI's clients send is
the moment at which they hang up, and they come back at once, with the same request: so its end is for them to see, and the job lives on.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from flask import request

from api import auth
from app import clock, errors, idempotency
from app.error_codes import ErrorCode
from app.jobs.record import CacheUse
from app.outcome import CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.idempotency import Fence
    from app.rates import Rates
    from app.settings import Settings

#: a request that nobody waits for may take a day, if it says nothing
ASYNC_SECONDS = 24 * 3600.0
MAX_SECONDS = 7 * 24 * 3600.0

_OURS = "X-Request-Timeout"
_KEY = "Idempotency-Key"
_MAX_KEY = 255
#: what OpenAI's clients send by themselves: Python's, Node's
_STAINLESS = ("x-stainless-read-timeout", "x-stainless-timeout")

#: the headers of requests that make something, and of those that make a job, as JSON schemas
IDEMPOTENCY: dict[str, Any] = {_KEY: {"type": "string", "minLength": 1, "maxLength": _MAX_KEY}}
OF_A_JOB: dict[str, Any] = IDEMPOTENCY | {
    _OURS: {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
}


def timeout_seconds(settings: Settings, *, is_async: bool) -> float:
    """The request's time in seconds. Raises `ErrorReply` (400) when `X-Request-Timeout` is not one.

    A client that says that it waits longer than is usual here gets what it waits for.
    """
    if (sent := request.headers.get(_OURS)) is not None:
        seconds = _seconds(sent)
        if seconds is None or seconds > MAX_SECONDS:
            raise errors.invalid_request(
                f"{_OURS} takes seconds, more than 0 and at most {MAX_SECONDS:.0f}.",
                param=_OURS,
                code=ErrorCode.INVALID_VALUE,
            )
        return seconds
    if is_async:
        return ASYNC_SECONDS
    return max(read_timeout_seconds() or 0.0, settings.request_timeout_seconds)


def cache_use(settings: Settings, metadata: Mapping[str, str]) -> str:
    """A `CacheUse`: what `Cache-Control` says, and `cache: off` in the request's metadata. Empty where there is no cache, or no such wish."""
    if not settings.answer_cache:
        return ""
    directives = [one.partition("=")[0].strip().lower() for one in request.headers.get("Cache-Control", "").split(",")]
    if "no-store" in directives or metadata.get(CACHE) == CacheUse.OFF:
        return CacheUse.OFF
    return CacheUse.REFRESH if "no-cache" in directives else ""


def hangs_up_at(*, streams: bool) -> float:
    """When the client will have hung up by its own word, seconds since the epoch; `inf` when it has said nothing of the kind.

    In a stream each piece begins its timeout anew.
    """
    seconds = None if streams else read_timeout_seconds()
    return math.inf if seconds is None else clock.now() + seconds


def read_timeout_seconds() -> float | None:
    """How long the client waits for the next byte, if it says so."""
    for name in _STAINLESS:
        seconds = _seconds(request.headers.get(name, ""))
        if seconds is not None:
            return min(seconds, MAX_SECONDS)
    return None


def prefers_async() -> bool:
    """Whether nobody is to wait: RFC 7240, the `respond-async` preference."""
    sent = ",".join(request.headers.getlist("Prefer"))
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in sent.split(","))


def fence(body: bytes, value: Any = None) -> Fence:
    """The fence of the current request, with that body, and its `value` where it was parsed already. Raises `ErrorReply` (400) for a key that is none."""
    if _KEY in request.headers:
        return fence_of(idempotency.fingerprint(body, value))
    # Clients send the same bytes again, so that nothing needs to be parsed.
    return fence_of(hashlib.sha256(body).hexdigest())


def fence_of(fingerprint: str) -> Fence:
    """The same, for a request whose content was read in another way. Raises `ErrorReply` (400)."""
    scope = f"{auth.caller()}\n{request.path}"
    key = request.headers.get(_KEY)
    if key is None:
        return idempotency.by_content(scope, fingerprint, is_retry=_is_retry())
    if not 0 < len(key) <= _MAX_KEY:
        raise errors.invalid_request(f"{_KEY} takes 1 to {_MAX_KEY} characters.", param=_KEY)
    return idempotency.by_key(scope, key, fingerprint)


def fingerprint_of(*parts: str) -> str:
    """Of what was sent in several parts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def of_rates(rates: Rates) -> dict[str, str]:
    """OpenAI's headers that say how much of its limits a key has left, and in which time they are whole again, e.g. `1m0.5s`."""
    found = {}
    for name, bucket in (("requests", rates.requests), ("tokens", rates.tokens)):
        if bucket is not None:
            found[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
            found[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining)
            found[f"x-ratelimit-reset-{name}"] = _duration(bucket.reset_seconds)
    return found


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `8.64s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def _is_retry() -> bool:
    """Whether OpenAI's client says that it has sent this request before."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
