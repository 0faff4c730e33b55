"""One attempt to deliver one event: claim it, check its target again, sign it, send it, record what came of it."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app import clock, logs, retry_after, spans
from app.connection import AWAY, patiently
from app.outbound import ForbiddenTarget, OutboundError
from app.trace_context import NONE, TraceContext
from app.webhooks import sending
from app.webhooks.outbox import Attempt, Claim
from app.webhooks.schedule import next_attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.jobs.record import JobRecord
    from app.outbound import Reply
    from workers.callbacks.tasks import CallbackContext

log = logging.getLogger(__name__)

#: how much longer than an attempt can take its claim lasts: for recording it while Redis is away, seconds
CLAIM_MARGIN_SECONDS = 20.0
_GONE = 410


@dataclass(frozen=True)
class DeliveryResult:
    """What came of an attempt. `skipped`: there was nothing to do, or another process is at it."""

    event_id: str
    outcome: Literal["delivered", "retry", "undelivered", "skipped"]
    #: the receiver's HTTP status; None if there was no answer
    status: int | None = None
    error: str | None = None
    #: seconds since the epoch; only for `retry`
    next_at: float | None = None


@dataclass(frozen=True)
class _Answer:
    """What an attempt brought. `error` is None for a success, and never has anything of the URL's path: it may hold a token."""

    status: int | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    #: there is nobody any more who would want it
    is_gone: bool = False


def deliver(event_id: str, context: CallbackContext, *, clock: Callable[[], float] = clock.now) -> DeliveryResult:
    """Make one attempt. It takes `callback_timeout_seconds` at most, and returns normally whatever the receiver does.

    Only a 2xx is success; a redirect is a failure and is not followed; a 410 is the last answer that is asked for.
    `clock` is seconds since the epoch. Redis' errors are raised when it stays away: the event is due again then.
    """
    timeout = context.settings.callback_timeout_seconds
    claim = context.outbox.claim(event_id, clock(), lease_seconds=timeout + CLAIM_MARGIN_SECONDS)
    if claim is None:
        return DeliveryResult(event_id, "skipped")
    about = str(json.loads(claim.body)["data"].get("id", ""))
    job = None
    # For the log and the trace alone: with Redis away the event is delivered all the same.
    with suppress(*AWAY):
        job = context.jobs.get(about)
    ids = job.ids if job else {"batch_id": about} if about.startswith("batch_") else {}
    with logs.about(event_id=event_id, **ids):
        return _attempt(claim, context, job, clock)


def _attempt(
    claim: Claim, context: CallbackContext, job: JobRecord | None, clock: Callable[[], float]
) -> DeliveryResult:
    """Ask, record, log. `job`: the one that the event is about, if it still exists."""
    began_at, began = clock(), time.monotonic()
    parent, attributes = (job.trace, spans.of_job(job)) if job else (NONE, {})
    with spans.span("deliver", parent, attributes, kind="client") as span:
        span.set({"nightshift.event_id": claim.event_id, "nightshift.attempt": claim.attempt})
        answer = _ask(claim, context, began_at, span.context)
        span.set({"http.response.status_code": answer.status})
        if answer.error:
            span.fail(answer.error)
    duration = round(time.monotonic() - began, 3)
    attempt = Attempt(claim.attempt, began_at, answer.status, answer.error, duration)
    result = _settle(claim, attempt, answer, context, clock)
    _log(result, attempt)
    return result


def _ask(claim: Claim, context: CallbackContext, now: float, trace: TraceContext) -> _Answer:
    """Send, and put whatever happens into an answer."""
    try:
        return _send(claim, context, now, trace)
    except ForbiddenTarget as error:
        # Tried again like any failure: a name may lead elsewhere tomorrow, or the operator may allow its host.
        return _Answer(error=f"refused: {error}")
    except OutboundError as error:
        return _Answer(error=error.kind)
    except Exception as error:
        # A bug of ours. The schedule holds for it too, or the event would come back each time its claim ends, for ever.
        log.exception("[CALLBACK] %s: cannot be sent", claim.event_id)
        return _Answer(error=f"internal error ({type(error).__name__})")


def _send(claim: Claim, context: CallbackContext, now: float, trace: TraceContext) -> _Answer:
    """POST the stored bytes: to the address in the event, or to where its endpoint is registered now."""
    url, secrets = claim.url, context.secrets
    if claim.endpoint_id:
        endpoint = context.endpoints.get(claim.endpoint_id)
        if endpoint is None:
            return _Answer(error="the endpoint was deleted", is_gone=True)
        url, secrets = endpoint.url, endpoint.secrets(now)
    reply = sending.send(
        context.client,
        url,
        claim.event_id,
        claim.body,
        secrets=secrets,
        settings=context.settings,
        now=now,
        resolver=context.resolver,
        trace=trace,
    )
    return _judge(reply, now)


def _judge(reply: Reply, now: float) -> _Answer:
    if 200 <= reply.status < 300:
        return _Answer(reply.status)
    if 300 <= reply.status < 400:
        error = "redirects are not followed: give the address that it leads to"
    elif reply.status == _GONE:
        error = "the endpoint is gone (410)"
    else:
        error = f"answered {reply.status}"
    seconds = retry_after.parse(reply.headers.get("retry-after"), now=now)
    return _Answer(reply.status, error, seconds, is_gone=reply.status == _GONE)


def _settle(
    claim: Claim, attempt: Attempt, answer: _Answer, context: CallbackContext, clock: Callable[[], float]
) -> DeliveryResult:
    """Record the attempt and what is next."""
    if answer.error is None:
        _patiently(lambda: context.outbox.record_success(claim.event_id, attempt))
        return DeliveryResult(claim.event_id, "delivered", answer.status)
    gone = answer.is_gone
    next_at = None
    if not gone:
        next_at = next_attempt(
            claim.tries,
            now=clock(),
            give_up_at=claim.give_up_at,
            status=answer.status,
            retry_after_seconds=answer.retry_after_seconds,
        )
    _patiently(lambda: context.outbox.record_failure(claim.event_id, attempt, next_at=next_at, endpoint_gone=gone))
    outcome: Literal["retry", "undelivered"] = "undelivered" if next_at is None else "retry"
    return DeliveryResult(claim.event_id, outcome, answer.status, answer.error, next_at)


def _patiently(record: Callable[[], bool]) -> None:
    """Wait for Redis rather than forget an attempt, as long as its claim lasts; then raise what Redis' client raises."""
    patiently(record, CLAIM_MARGIN_SECONDS)


def _log(result: DeliveryResult, attempt: Attempt) -> None:
    """One line an attempt: ids, statuses and times only."""
    what = f"{result.event_id} attempt {attempt.number}: {result.outcome}, status {attempt.status or '-'}"
    took = f"{attempt.duration_seconds:.1f} s"
    if result.outcome == "delivered":
        log.info("[CALLBACK] %s, %s", what, took)
    elif result.next_at is not None:
        log.warning("[CALLBACK] %s, %s, next in %.0f s", what, took, result.next_at - attempt.at)
    else:
        log.error("[CALLBACK] %s, %s; it can be looked at and sent again for 7 days", what, took)
