"""What follows a turn that failed. The only layer that retries: the CLI's own retries are off, and errors ask clients not to.

Each kind of failure has its own way; what is nobody's fault uses up no attempt, and is never a job's error.
"""

from __future__ import annotations

import logging
import math
import random
import re
from typing import TYPE_CHECKING

from app import clock, errors
from app.error_codes import ErrorCode
from app.errors import ErrorReply
from app.gate import Cause
from app.jobs.change import Reason, Requeue
from app.login import SUBSCRIPTIONS
from app.messages.failure import FailureKind, TurnFailed
from app.outcome import Outcome
from app.scopes import Scope
from workers import usage_windows
from workers.run import Ending, Publish

if TYPE_CHECKING:
    from app.jobs.record import JobRecord
    from workers.run import Run

log = logging.getLogger(__name__)

#: the first delay before another attempt, and the longest, seconds
BACKOFF_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 60.0


def ending_of(failure: TurnFailed, run: Run) -> Ending:
    """The ending of the run whose turn failed so."""
    match failure.kind:
        case FailureKind.USAGE_LIMIT:
            usage_windows.wait_for_reset(run, failure)
            return Requeue(Cause.USAGE_LIMIT, counts=False)
        case FailureKind.LOGIN:
            probe_at = clock.now() + run.settings.login_probe_seconds
            scope = Scope(run.engine.way)
            run.gate(scope).close(Cause.LOGIN, math.inf, failure.message, probe_at=probe_at)
            said = "[LIMIT] cause=login scope=%s job=%s: the workers wait for a login that works"
            log.warning(said, scope, run.record.id)
            return Requeue(Cause.LOGIN, counts=False)
        case FailureKind.UNAVAILABLE:
            return Requeue(Reason.NO_PROCESS, counts=False, was_sent=False)
        case FailureKind.INTERRUPTED:
            return Requeue(Reason.WORKER_STOPPED, counts=False)
        case FailureKind.DEADLINE:
            return Publish(Outcome(error=errors.deadline_exceeded(run.record.deadline_at - run.record.created_at)))
        case FailureKind.OVERLOADED | FailureKind.RATE_LIMITED:
            return _put_off(failure, run)
        case FailureKind.DIED:
            return Requeue(Reason.PROCESS_DIED, counts=False, died=True)
        case FailureKind.MEMORY:
            return Requeue(Reason.PROCESS_MEMORY, counts=False, died=True)
        case FailureKind.GARBLED:
            return Requeue(Reason.PROCESS_GARBLED, counts=False, died=True)
        case FailureKind.CALLER:
            return Publish(Outcome(error=callers_fault(failure)))
        case FailureKind.UNKNOWN_END:
            # It has been answered and paid for: the next answer would end in the same way.
            return Publish(Outcome(error=errors.upstream_failed(failure.message)))
        case _:
            return _again_or_give_up(failure, run)


def _put_off(failure: TurnFailed, run: Run) -> Ending:
    """Overload, or too much at once: nobody's fault, and bounded by the deadline. A night's work must not fail for its own speed.

    Several without an answer in between, of whichever jobs, are a wall that all wait at. Until then this one waits by itself.
    """
    cause = Cause.OVERLOAD if failure.kind is FailureKind.OVERLOADED else Cause.RATE_LIMIT
    scope = Scope(run.engine.way)
    if cause is Cause.RATE_LIMIT and run.engine.status().login not in SUBSCRIPTIONS:
        # What is paid by use has its limits by model.
        scope = Scope(run.engine.way, run.family)
    if run.gate(scope).note_overload(
        run.lease.execution_id,
        failure.message,
        cause,
        retry_after=failure.retry_after or 0.0,
        probe_seconds=run.settings.limit_probe_seconds,
    ):
        said = "[LIMIT] cause=%s scope=%s job=%s: Claude puts off one request after the other"
        log.warning(said, cause, scope, run.record.id)
        return Requeue(cause, counts=False)
    return Requeue(failure.kind, counts=False, delay_seconds=_delay(failure, run.record))


def _again_or_give_up(failure: TurnFailed, run: Run) -> Ending:
    """A server error, a broken connection, silence: later again, while attempts are left."""
    if run.record.attempts >= run.record.max_attempts:
        return Publish(Outcome(error=_given_up(failure, run.record.attempts)))
    return Requeue(failure.kind, counts=True, delay_seconds=_delay(failure, run.record))


def _delay(failure: TurnFailed, record: JobRecord) -> float:
    """Doubled each time that the job has waited so, whether the run counted or not."""
    before = max(0, record.attempts - 1 + record.delays)
    backoff = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2 ** min(before, 10)) * random.uniform(0.5, 1.5)
    return float(max(backoff, failure.retry_after or 0.0))


def _given_up(failure: TurnFailed, attempts: int) -> ErrorReply:
    tried = f"after {attempts} attempt{'s' if attempts > 1 else ''}"
    match failure.kind:
        case FailureKind.STALLED:
            return errors.upstream_failed(
                f"Claude sent nothing for too long, {tried}.", status=504, code=ErrorCode.STALLED
            )
        case _:
            return errors.upstream_failed(f"Claude failed {tried}: {failure.message}")


def callers_fault(failure: TurnFailed) -> ErrorReply:
    """The Messages API's 4xx as OpenAI's: the message is the API's, since it says what is wrong with the request."""
    if failure.status == 404:
        return ErrorReply(404, failure.message, param="model", code=ErrorCode.MODEL_NOT_FOUND)
    if failure.status == 413:
        return ErrorReply(413, failure.message, code=ErrorCode.REQUEST_TOO_LARGE)
    if failure.status == 403:
        return ErrorReply(403, failure.message, code=ErrorCode.PERMISSION_DENIED)
    # The CLI capitalizes the API's words and leaves out its figures.
    if "prompt is too long" in failure.message.lower():
        return ErrorReply(400, failure.message, param="messages", code=ErrorCode.CONTEXT_LENGTH_EXCEEDED)
    return ErrorReply(failure.status or 400, failure.message, param=_param_in(failure.message))


def _param_in(message: str) -> str | None:
    """The API names the field it refuses at the start of its message: `temperature: …`, `messages.0.content: …`, "`top_p` and …"."""
    found = re.match(r"[`'\"]?([a-z_]+)", message)
    return _PARAMS.get(found[1]) if found else None


_PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop_sequences": "stop",
    "max_tokens": "max_tokens",
    "messages": "messages",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "model": "model",
}
