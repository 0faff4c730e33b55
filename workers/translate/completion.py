"""Claude's answer as OpenAI's chat completion object."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from app.outcome import Outcome
from workers.claude import add_usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.jobs.record import JobRecord
    from workers.claude import Answer
    from workers.translate.checks import Checked

#: OpenAI's word for each of Claude's stop reasons
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
}


def to_openai(answers: Sequence[tuple[Answer, Checked]], record: JobRecord) -> Outcome:
    """The chat completion, a choice for each answer, with the model that answered and the usage as Claude reported them."""
    first, _ = answers[0]
    body: dict[str, Any] = {
        "id": record.id,
        "object": "chat.completion",
        "created": int(record.created_at),
        "model": first.model,
        "choices": [_choice(index, answer, checked) for index, (answer, checked) in enumerate(answers)],
        "usage": usage_of(reduce(add_usage, (answer.usage for answer, _ in answers))),
    }
    if record.service_tier:
        body["service_tier"] = "flex" if record.yields else "default"
    headers = {"x-nightshift-attempts": str(record.attempts)}
    costs = [answer.cost_usd for answer, _ in answers if answer.cost_usd is not None]
    if len(costs) == len(answers):
        headers["x-nightshift-cost-usd"] = f"{sum(costs):.6f}"
    return Outcome(body=body, headers=headers)


def _choice(index: int, answer: Answer, checked: Checked) -> dict[str, Any]:
    reason = FINISH_REASONS.get(answer.stop_reason, "stop")
    if reason == "stop" and checked.calls:
        reason = "tool_calls"
    return {"index": index, "message": message_of(answer, checked), "finish_reason": reason, "logprobs": None}


def message_of(answer: Answer, checked: Checked) -> dict[str, Any]:
    """The assistant's message."""
    refused = answer.stop_reason == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused else checked.text,
        "refusal": (answer.text or "The model refused to answer.") if refused else None,
    }
    if checked.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in checked.calls
        ]
    return message


def usage_of(reported: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's usage from Claude's: what was read from and written to the cache are prompt tokens too."""
    cached = reported.get("cache_read_input_tokens") or 0
    written = reported.get("cache_creation_input_tokens") or 0
    prompt = (reported.get("input_tokens") or 0) + cached + written
    completion = reported.get("output_tokens") or 0
    thinking = (reported.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
