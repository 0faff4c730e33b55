"""The functions that RQ calls by their path (`app.jobs.tickets.TASK_PATH`). Each unpacks, calls, and says how it ended."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from app import clock, durability, errors, messages
from app.connection import AWAY
from app.jobs import transitions
from app.jobs.change import LeaseLost, Reason, Requeue, Spent
from app.jobs.record import PAYLOAD_VERSION, JobKind, record_key
from app.messages.failure import TurnFailed
from app.openai.payload import answers, as_asked, as_chat_payload
from app.outcome import COST_HEADER, WAY_HEADER, Outcome
from workers import asking, remote_images, streaming, usage_windows
from workers import run as runs
from workers.after_failure import ending_of
from workers.answer_cache import CachedAnswer
from workers.run import Ending, FanOut, Interruption, Publish

if TYPE_CHECKING:
    from workers.run import Run

#: how long a job that was made by newer code waits for newer workers before it is looked at again, seconds
NEWER_WORKER_SECONDS = 5.0


def run_job(_: str) -> Ending:
    """One run of one job. Raises only for bugs of ours."""
    run = runs.current()
    record = run.record
    if record.version > PAYLOAD_VERSION:
        # During a restart newer workers are on their way. Without any, it waits until its deadline.
        return Requeue(Reason.NEWER_WORKER, counts=False, delay_seconds=NEWER_WORKER_SECONDS)
    if record.choices:
        return FanOut(record.choices)
    runs.queued_span(run)
    patience = record.deadline_at - record.created_at
    if clock.now() >= record.deadline_at:
        return Publish(Outcome(error=errors.deadline_exceeded(patience)))
    if record.parent and ((parent := run.jobs.get(record.parent)) is None or parent.status.is_final):
        # A process of older code ended the parent, and knew nothing of this choice.
        run.interruption = Interruption.CANCELLED
        return Requeue(Reason.UNWANTED, counts=False)
    payload = _payload(run)
    if payload is None:
        return Publish(Outcome(error=errors.internal()))
    number = record.choice
    if record.kind != JobKind.CHOICE and (count := answers(payload)) > 1:
        return FanOut(count)
    ending = _asked(run, as_chat_payload(payload, number))
    if not isinstance(ending, Publish):
        return ending
    outcome = as_asked(ending.outcome, payload, record, number)
    if outcome.size() > (limit := run.settings.max_result_bytes):
        outcome = Outcome(error=errors.result_too_large(limit))
    return Publish(outcome)


def _payload(run: Run) -> dict[str, Any] | None:
    """As it was claimed, let go here, since it may be large; a choice asks for its parent's."""
    text, run.request = run.request, None
    return run.jobs.request(run.record.parent or run.record.id) if text is None else json.loads(text)


def _asked(run: Run, chat: dict[str, Any]) -> Ending:
    """Ask for one chat completion."""
    way = ""
    try:
        if messages.remote_images(chat["request"]["messages"]):
            # What is at an address is part of the request: it is fetched first.
            chat = remote_images.inlined(chat, run.settings)
        cached = _cached(run, chat)
        if cached is not None and (hit := cached.find()) is not None:
            return Publish(hit)
        request = messages.to_claude(chat)
        if run.record.max_sends and (ending := _note_sent(run)):
            return ending
        way = run.engine.way
        with streaming.emitter(run, request.output) if run.record.streams else nullcontext() as on_delta:
            asked = asking.ask(run, request, on_delta)
    except errors.ErrorReply as error:
        return Publish(Outcome(error=error, headers=_paid(run, way)))
    except TurnFailed as failure:
        ending = ending_of(failure, run)
        return Publish(ending.outcome.by(way)) if isinstance(ending, Publish) else ending
    # With Redis away the next probe opens the gate; the answer is kept all the same.
    with suppress(*AWAY):
        if asked.answer.windows:
            usage_windows.take_in(run, asked.answer.windows)
        run.probes.passed()
    outcome = messages.to_openai(asked.answer, asked.checked, run.record, asked.ignored)
    if cached is not None:
        cached.keep(outcome)
    return Publish(outcome)


def _cached(run: Run, chat: dict[str, Any]) -> CachedAnswer | None:
    """Where an answer to it may be; None: there is no cache, or not for such a request."""
    if not run.settings.answer_cache or run.record.parent:
        return None
    return CachedAnswer(run.connection, run.settings, run.record, chat)


def _paid(run: Run, way: str) -> dict[str, str]:
    """What a failure after answers came by, and cost: it has been paid for."""
    if not way:
        return {}
    costs = [cost for cost in run.costs if cost is not None]
    return {WAY_HEADER: way} | ({COST_HEADER: f"{sum(costs):.6f}"} if costs else {})


def _note_sent(run: Run) -> Ending | None:
    """Before the turn of a job that may be sent so often only. An ending when it must not be sent, or that can't be noted."""
    try:
        transitions.note_sent(run.connection, run.lease)
        durability.confirm(run.connection, record_key(run.record.id), run.settings.wait_replicas)
    except AWAY as error:
        # Whether it was noted or not: this run sends nothing.
        return Requeue(f"{Reason.REDIS_AWAY} before its turn ({type(error).__name__})", counts=False, was_sent=False)
    except (LeaseLost, Spent) as error:
        return Requeue(str(error), counts=False)
    return None
