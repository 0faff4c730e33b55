"""One signed event to one address, through the outbound guard."""

from __future__ import annotations

import importlib.metadata
import time
from functools import cache
from typing import TYPE_CHECKING

from app.outbound import Resolver, check_url, system_resolver
from app.trace_context import NONE, TraceContext
from app.webhooks.signing import signed_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.outbound import OutboundClient, Reply
    from app.settings import Settings

#: bytes of the answer that are read; its content is of no use to us, but cutting it off early looks like an error there
MAX_ANSWER_BYTES = 64 * 1024


def send(
    client: OutboundClient,
    url: str,
    event_id: str,
    body: bytes,
    *,
    secrets: Sequence[str],
    settings: Settings,
    now: float,
    resolver: Resolver = system_resolver,
    trace: TraceContext = NONE,
) -> Reply:
    """POST the bytes, within `callback_timeout_seconds`; the time for the name's lookup counts too.

    Raises:
        ForbiddenTarget: the address is none that may be connected to.
        OutboundError: there was no answer.
    """
    timeout_seconds = settings.callback_timeout_seconds
    deadline = time.monotonic() + timeout_seconds
    target = check_url(
        url, settings.callback_allowed_hosts, resolver=resolver, timeout_seconds=min(5.0, timeout_seconds)
    )
    headers = {
        "content-type": "application/json",
        "user-agent": f"Nightshift/{_version()}",
        **trace.headers(),
        **signed_headers(secrets, event_id, body, now),
    }
    return client.request(
        "POST",
        target,
        headers=headers,
        content=body,
        timeout_seconds=max(0.001, deadline - time.monotonic()),
        max_body_bytes=MAX_ANSWER_BYTES,
    )


@cache
def _version() -> str:
    try:
        return importlib.metadata.version("claude-nightshift")
    except importlib.metadata.PackageNotFoundError:
        return "dev"  # run from a checkout that was not installed
