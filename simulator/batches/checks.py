"""The checks of a call of Message Batches.

What a batch is made of is checked when it is created; each request's ``params`` only when it is processed, as documented.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from simulator.errors import ApiError

MAX_REQUESTS = 100_000
#: Bytes that a body which creates a batch may have.
MAX_BODY_BYTES = 256 * 1024 * 1024
#: Batches that one page of a list may have, and has where nothing else is asked for.
MAX_LIMIT, DEFAULT_LIMIT = 1_000, 20

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_ID = 64


def check_batch(body: Any) -> list[dict[str, Any]]:
    """Return the requests of a body that creates a batch, each with ``custom_id`` and ``params``.

    Raises:
        ApiError: 400 for the first thing that is refused.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not a JSON object")
    requests = body.get("requests")
    if requests is None:
        raise ApiError(400, "requests: Field required")
    if not isinstance(requests, list):
        raise ApiError(400, "requests: Input should be a valid list")
    if not requests:
        raise ApiError(400, "requests: List should have at least 1 item after validation, not 0")
    if len(requests) > MAX_REQUESTS:
        raise ApiError(
            400, f"requests: List should have at most {MAX_REQUESTS} items after validation, not {len(requests)}"
        )
    seen: set[str] = set()
    for index, request in enumerate(requests):
        _check_request(f"requests.{index}", request, seen)
    return requests


def _check_request(place: str, request: Any, seen: set[str]) -> None:
    if not isinstance(request, dict):
        raise ApiError(400, f"{place}: Input should be an object")
    for name in ("custom_id", "params"):
        if name not in request:
            raise ApiError(400, f"{place}.{name}: Field required")
    custom_id = request["custom_id"]
    if not isinstance(custom_id, str):
        raise ApiError(400, f"{place}.custom_id: Input should be a valid string")
    if not custom_id:
        raise ApiError(400, f"{place}.custom_id: String should have at least 1 character")
    if len(custom_id) > _MAX_ID:
        raise ApiError(400, f"{place}.custom_id: String should have at most {_MAX_ID} characters")
    if not _CUSTOM_ID.fullmatch(custom_id):
        raise ApiError(400, f"{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    if custom_id in seen:
        raise ApiError(400, f"{place}.custom_id: '{custom_id}' is not unique within the batch")
    seen.add(custom_id)
    if not isinstance(request["params"], dict):
        raise ApiError(400, f"{place}.params: Input should be an object")


def readable_first(body: Any) -> dict[str, Any]:
    """Return the first request's ``params`` of a body that was not checked, for rules; empty where they can't be read."""
    with suppress(LookupError, TypeError):
        params = body["requests"][0]["params"]
        if isinstance(params, dict) and all(isinstance(message, dict) for message in params["messages"]):
            return {"model": "", **params}
    return {}


def check_params(params: Mapping[str, Any]) -> None:
    """Raise a 400 :class:`ApiError` for what the Messages API takes and a batch does not."""
    if params.get("stream"):
        raise ApiError(400, "stream: Streaming is not supported in batch requests")
    if params.get("speed") is not None:
        raise ApiError(400, "speed: Not supported in batch requests")


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for: at most ``limit`` batches, before or after one of them."""

    limit: int = DEFAULT_LIMIT
    before_id: str | None = None
    after_id: str | None = None


def check_page(query: Mapping[str, str]) -> Page:
    """Return what a list's query asks for; a 400 :class:`ApiError` for what it can't."""
    try:
        limit = int(query.get("limit", DEFAULT_LIMIT))
    except ValueError:
        raise ApiError(400, "limit: Input should be a valid integer") from None
    if not 1 <= limit <= MAX_LIMIT:
        raise ApiError(400, f"limit: Input should be between 1 and {MAX_LIMIT}")
    if "before_id" in query and "after_id" in query:
        raise ApiError(400, "before_id: may not be given together with after_id")
    return Page(limit, query.get("before_id"), query.get("after_id"))
