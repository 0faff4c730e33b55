"""The spans of a run: how long its job waited, and each turn of Claude's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import spans

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from app.messages.answer import Answer
    from workers.run import Run


def queued(run: Run) -> None:
    """From the request's acceptance to the start of this run, runs before it included."""
    record = run.record
    with spans.span("queue", record.trace, _of(run), began_at=record.created_at, kind="consumer"):
        pass


def turn(run: Run) -> AbstractContextManager[spans.Span]:
    """One question to Claude. Its context goes with the API's requests."""
    return spans.span("turn", run.record.trace, _of(run), kind="client")


def of_answer(answer: Answer) -> dict[str, Any]:
    """What a turn's span has to say of its answer, by OpenTelemetry's names."""
    return {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": [answer.stop_reason] if answer.stop_reason else None,
        "gen_ai.usage.input_tokens": answer.usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": answer.usage.get("output_tokens"),
    }


def _of(run: Run) -> dict[str, Any]:
    return spans.of_job(run.record, attempt=run.record.attempts, worker=run.lease.worker)
