"""What an ended job adds to the counters, and the few words that its labels are taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import clock, counters, spending, usage
from app.error_codes import ErrorCode, known
from app.outcome import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.client import Pipeline

    from app.counters import Counting
    from app.errors import ErrorReply
    from app.jobs.record import JobRecord
    from app.outcome import Outcome
    from app.usage import Used

COMPLETED = "completed"
#: outcomes that nobody failed at: somebody did not want the answer any more
CANCELLED = (ErrorCode.BATCH_CANCELLED, ErrorCode.CANCELLED, ErrorCode.CLIENT_CLOSED_REQUEST)


def count(pipe: Counting, record: JobRecord, outcome: Outcome, used: Used, now: float) -> None:
    """Put on the pipeline of a job's last step what is counted of it. `record`: as it was before that step."""
    endpoint, model = record.endpoint_label, record.model_label
    counters.add(pipe, counters.REQUESTS, endpoint, model, outcome_label(outcome.error))
    if (record.execution or record.choices) and record.started_at is not None:
        counters.observe(pipe, counters.QUEUE, endpoint, record.started_at - record.created_at)
        counters.observe(pipe, counters.RUN, endpoint, now - record.started_at)
    if record.first_token_at is not None:
        counters.observe(pipe, counters.FIRST_TOKEN, endpoint, record.first_token_at - record.created_at)
    for way in filter(None, outcome.source.split(", ")):
        counters.add(pipe, counters.WAYS, way)
    if outcome.body is not None:
        for kind, number in _tokens(outcome.body.get("usage") or {}).items():
            counters.add(pipe, counters.TOKENS, kind, model, by=number)
        if (cost := outcome.cost_usd) is not None:
            counters.add(pipe, counters.COST, model, by=round(cost * 1_000_000))
    usage.add(pipe, record.owner, model, used, now)
    counters.add(pipe, counters.KEY_REQUESTS, record.owner)
    counters.add(pipe, counters.KEY_TOKENS, record.owner, by=used.tokens)
    counters.add(pipe, counters.KEY_COST, record.owner, by=used.cost_micros)


def count_all(pipe: Pipeline, ended: Iterable[tuple[JobRecord, Outcome]]) -> None:
    """What is counted of many lines that end in one step without a job. Each record has the time at which it did."""
    total = counters.Sums()
    for record, outcome in ended:
        used = usage.of(outcome)
        spending.count(total, outcome, clock.now())
        spending.count_used(total, record.owner, used, clock.now())
        count(total, record, outcome, used, record.finished_at or record.created_at)
    total.put(pipe)


def outcome_label(error: ErrorReply | None) -> str:
    """`completed`, or the error's code (its type where it has none)."""
    if error is None:
        return COMPLETED
    return known(error.cause) or counters.OTHER


def _tokens(usage: dict[str, Any]) -> dict[str, int]:
    """By kinds that do not overlap, of a chat completion's usage or a response's."""
    read = tokens(usage, "prompt_tokens", "cached_tokens")
    written = tokens(usage, "prompt_tokens", "cache_write_tokens")
    thought = tokens(usage, "completion_tokens", "reasoning_tokens")
    return {
        "input": tokens(usage, "prompt_tokens") - read - written,
        "cache_read": read,
        "cache_write": written,
        "output": tokens(usage, "completion_tokens") - thought,
        "reasoning": thought,
    }


INPUT_KINDS = ("input", "cache_read", "cache_write")
OUTPUT_KINDS = ("output", "reasoning")
