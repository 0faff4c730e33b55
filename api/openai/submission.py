"""How a request becomes a job, whatever its endpoint: made once, and joined by its client's own retries."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import g

from api import idempotency, waiting
from api.deadlines import MAX_SECONDS
from app import clock, errors, logs, spans
from app.connection import AWAY
from app.durability import NotReplicatedError
from app.error_codes import ErrorCode
from app.jobs.waiters import new_name
from app.outbound import ForbiddenTarget, check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis.client import Pipeline

    from api.services import Services
    from app.idempotency import Fence
    from app.jobs.record import JobRecord
    from app.settings import Settings

#: what these requests may carry in their heads, as JSON schemas
HEADERS: dict[str, Any] = {
    **idempotency.HEADER,
    "X-Request-Timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
}
#: statuses of what may become of them
ERRORS = (404, 409, 422, 429, 499, 502, 504)


def waiter() -> str:
    """The name by which this request waits for its job, the same whenever it is asked for."""
    if "waiter" not in g:
        g.waiter = new_name()
    return str(g.waiter)


def submit(here: Services, record: JobRecord, payload: dict[str, Any], fence: Fence, seconds: float) -> JobRecord:
    """Put the job into the queue, with its first waiter, or join the job that an earlier try of the request made."""
    began_at = clock.now() - (time.monotonic() - g.began_at)
    # An async job has a waiter that never leaves: no client that joins it can abandon it.
    name = new_name() if record.background else waiter()
    with (
        _waiter(here, name) as arrive,
        spans.span("accept", g.trace, spans.of_job(record), began_at=began_at, kind="server") as span,
    ):
        job = replace(record, traceparent=span.context.parent, tracestate=span.context.state)

        def beside(pipe: Pipeline, found: JobRecord) -> None:
            arrive(pipe, found.id, max(seconds, found.deadline_at - clock.now()))

        submission = here.jobs.submit(job, payload, fence=fence, beside=beside)
    logs.note(job_id=submission.record.id)
    return submission.record


@contextmanager
def _waiter(here: Services, name: str) -> Iterator[Callable[[Pipeline, str, float], None]]:
    """Arrives at a job, and leaves it if its replicas do not have it in time: its client may come back to it."""
    arrived = ""

    def arrive(pipe: Pipeline, job_id: str, seconds: float) -> None:
        nonlocal arrived
        arrived = job_id
        here.waiters.arrive(job_id, name, seconds, pipeline=pipe)

    try:
        yield arrive
    except NotReplicatedError:
        with suppress(*AWAY):
            here.waiters.leave(arrived, name, abandon_at=clock.now() + waiting.STOP_GRACE_SECONDS)
        raise


def check_callback_url(url: str | None, settings: Settings) -> None:
    """Raises `ErrorReply` (400) for an address that no callback may go to."""
    if url is None:
        return
    try:
        check_url(url, settings.callback_allowed_hosts)
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param="callback_url", code=ErrorCode.INVALID_CALLBACK_URL) from error
