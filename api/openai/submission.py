"""How a request becomes a job, whatever its endpoint: checked, made once, and joined by its client's own retries."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from flask import after_this_request, g

from api import auth, headers, params, tracing, waiting
from app import clock, errors, logs, rates, spans
from app.connection import AWAY
from app.durability import NotReplicatedError
from app.error_codes import ErrorCode
from app.jobs.record import JobKind, JobRecord, Status, Tier
from app.outbound import ForbiddenTarget, check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Response
    from redis import Redis
    from redis.client import Pipeline

    from api.services import Services
    from app.idempotency import Fence
    from app.openai.accept import Accepted
    from app.settings import Settings


_Accepted = TypeVar("_Accepted", bound="Accepted[Any]")
#: statuses of what may become of these requests
ERRORS = (404, 409, 422, 429, 499, 502, 504)


def waiter() -> str:
    """The name by which this request waits for its job, the same whenever it is asked for."""
    if "waiter" not in g:
        g.waiter = secrets.token_hex(8)
    return str(g.waiter)


def read(services: Services, accept: Callable[[dict[str, Any], Settings], _Accepted]) -> tuple[_Accepted, Fence]:
    """The current request, checked by its endpoint's `accept`, and its fence. Raises `ErrorReply` (400, 404, 415)."""
    body = params.read_body()
    sent = params.json_object(body)
    accepted = accept(sent, services.settings)
    tracing.name_ignored(accepted.ignored)
    if accepted.request.service_tier == Tier.BATCH:
        raise errors.invalid_request(
            "'service_tier': batch is for lines of a batch, POST /v1/batches: an answer may take a day."
            " flex takes a cheap way, where there is one for a request by itself.",
            "service_tier",
            ErrorCode.UNSUPPORTED_VALUE,
        )
    if accepted.request.callback_url is not None:
        _check_callback_url(accepted.request.callback_url, services.settings)
    return accepted, headers.fence(body, sent)


def submit(
    services: Services,
    accepted: Accepted[Any],
    fence: Fence,
    seconds: float,
    *,
    kind: JobKind,
    job_id: str,
    background: bool,
) -> JobRecord:
    """Put the request's job into the queue, with its first waiter, or join the job that an earlier try of it made.

    Raises `ErrorReply`: 403 for a model that the key may not use, 429 beyond the key's limits or its budget, and as `Jobs.submit` does.
    """
    auth.require_model(accepted.claude_model)
    _require_room(services.connection)
    now, asked, most = clock.now(), accepted.request, services.settings.max_attempts
    record = JobRecord(
        id=job_id,
        kind=kind,
        status=Status.QUEUED,
        model=accepted.claude_model,
        created_at=now,
        deadline_at=now + seconds,
        max_attempts=min(asked.max_attempts or most, most),
        max_sends=asked.max_attempts or 0,
        callback_url=asked.callback_url or "",
        service_tier=asked.service_tier or "",
        background=background,
        is_stored=asked.is_stored,
        streams=bool(asked.stream),
        request_id=g.request_id,
        metadata=asked.metadata or {},
        cache=headers.cache_use(services.settings, asked.metadata or {}),
        version=accepted.version,
        owner=auth.owner(),
    )
    # An async job has a waiter that never leaves: no client that joins it can abandon it.
    name = secrets.token_hex(8) if background else waiter()
    began_at = clock.now() - (time.monotonic() - g.began_at)
    with (
        _waiter(services, name) as arrive,
        spans.span("accept", g.trace, spans.of_job(record), began_at=began_at, kind="server") as span,
    ):
        job = replace(record, traceparent=span.context.parent, tracestate=span.context.state)

        def beside(pipe: Pipeline, found: JobRecord) -> None:
            arrive(pipe, found.id, max(seconds, found.deadline_at - clock.now()))

        key = auth.key()
        submission = services.jobs.submit(
            job,
            accepted.payload,
            fence=fence,
            beside=beside,
            max_queued=key.max_queued if key else 0,
            budget=key.budgets if key else (),
        )
    logs.note(job_id=submission.record.id)
    return submission.record


def _require_room(connection: Redis) -> None:
    """Raises `ErrorReply` (429) when the key has had its requests or tokens of this minute. The answer gets OpenAI's headers of its limits."""
    key = auth.key()
    found = None if key is None else rates.take(connection, key)
    if key is None or found is None:
        return

    @after_this_request
    def tell(response: Response) -> Response:
        response.headers.update(headers.of_rates(found))
        return response

    if not found.is_allowed:
        what = [f"{key.requests_per_minute} requests"] if key.requests_per_minute else []
        what += [f"{key.tokens_per_minute} tokens"] if key.tokens_per_minute else []
        raise errors.rate_limited(
            f"This API key may have {' and '.join(what)} a minute. Try again in {found.retry_after} s.",
            ErrorCode.RATE_LIMIT_EXCEEDED,
            found.retry_after,
        )


@contextmanager
def _waiter(services: Services, name: str) -> Iterator[Callable[[Pipeline, str, float], None]]:
    """Arrives at a job, and leaves it if its replicas do not have it in time: its client may come back to it."""
    arrived = ""

    def arrive(pipe: Pipeline, job_id: str, seconds: float) -> None:
        nonlocal arrived
        arrived = job_id
        services.jobs.arrive(job_id, name, seconds, pipeline=pipe)

    try:
        yield arrive
    except NotReplicatedError:
        with suppress(*AWAY):
            services.jobs.leave(arrived, name, abandon_at=clock.now() + waiting.STOP_GRACE_SECONDS)
        raise


def _check_callback_url(url: str, settings: Settings) -> None:
    try:
        check_url(url, settings.callback_allowed_hosts)
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), param="callback_url", code=ErrorCode.INVALID_CALLBACK_URL) from error
