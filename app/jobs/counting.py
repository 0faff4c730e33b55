"""What an ended job adds to the counters, and the few words that their labels are taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import counters
from app.error_codes import ErrorCode, known
from app.jobs.record import JobKind
from app.openai.model_names import ALIASES, CLAUDE_MODELS
from app.outcome import tokens

if TYPE_CHECKING:
    from redis.client import Pipeline

    from app.errors import ErrorReply
    from app.jobs.record import JobRecord
    from app.outcome import Outcome

COMPLETED = "completed"
#: outcomes that nobody failed at: somebody did not want the answer any more
CANCELLED = (ErrorCode.BATCH_CANCELLED, ErrorCode.CANCELLED, ErrorCode.CLIENT_CLOSED_REQUEST)
#: what is none of a known set: a model that we do not know, an error that only newer code knows
OTHER = "other"

_ENDPOINTS: dict[str, str] = {
    JobKind.CHAT_COMPLETION: "/v1/chat/completions",
    JobKind.RESPONSE: "/v1/responses",
    JobKind.TEXT_COMPLETION: "/v1/completions",
    JobKind.BATCH_LINE: "/v1/batches",
}
ENDPOINTS = (*_ENDPOINTS.values(), OTHER)


def count(pipe: Pipeline, record: JobRecord, outcome: Outcome, now: float) -> None:
    """Put on the pipeline of a job's last step what is counted of it. `record`: as it was before that step."""
    endpoint, model = _ENDPOINTS.get(record.kind, OTHER), model_label(record.model)
    counters.add(pipe, counters.REQUESTS, endpoint, model, outcome_label(outcome.error))
    if (record.execution or record.choices) and record.started_at is not None:
        counters.observe(pipe, counters.QUEUE, endpoint, record.started_at - record.created_at)
        counters.observe(pipe, counters.RUN, endpoint, now - record.started_at)
    if record.first_token_at is not None:
        counters.observe(pipe, counters.FIRST_TOKEN, endpoint, record.first_token_at - record.created_at)
    for way in filter(None, outcome.way.split(", ")):
        counters.add(pipe, counters.WAYS, way)
    if outcome.body is not None:
        for kind, number in _tokens(outcome.body.get("usage") or {}).items():
            counters.add(pipe, counters.TOKENS, kind, model, by=number)
        if (cost := outcome.cost_usd) is not None:
            counters.add(pipe, counters.COST, model, by=round(cost * 1_000_000))


def model_label(model: str) -> str:
    """The model when it is one that we know by name, else its size; any client may make up names of models."""
    if model in ALIASES or model in CLAUDE_MODELS:
        return model
    return next((size for size in ALIASES if size in model), OTHER)


def outcome_label(error: ErrorReply | None) -> str:
    """`completed`, or the error's code (its type where it has none)."""
    if error is None:
        return COMPLETED
    return known(error.cause) or OTHER


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
