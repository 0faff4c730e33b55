"""Claude's answer as OpenAI's chat completion object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.outcome import COST_HEADER, IGNORED, WAY_HEADER, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.jobs.record import JobRecord
    from app.messages.answer import Answer
    from app.messages.checks import Checked

#: OpenAI's word for each of Claude's stop reasons
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
}


def to_openai(answer: Answer, checked: Checked, record: JobRecord, ignored: Sequence[str] = ()) -> Outcome:
    """The chat completion, with the model that answered and the usage as Claude reported them.

    `ignored`: the request's fields that the model does not take, and was asked without.
    """
    body: dict[str, Any] = {
        "id": record.id,
        "object": "chat.completion",
        "created": int(record.created_at),
        "model": answer.model,
        "choices": [_choice(answer, checked)],
        "usage": usage_of(answer.usage),
    }
    if record.service_tier:
        body["service_tier"] = "flex" if record.yields else "default"
    headers = {"x-nightshift-attempts": str(record.attempts), WAY_HEADER: answer.way}
    if answer.cost_usd is not None:
        headers[COST_HEADER] = f"{answer.cost_usd:.6f}"
    if ignored:
        headers[IGNORED] = ", ".join(ignored)
    return Outcome(body=body, headers=headers)


def _choice(answer: Answer, checked: Checked) -> dict[str, Any]:
    reason = FINISH_REASONS[answer.stop_reason]
    if reason == "stop" and checked.calls:
        reason = "tool_calls"
    return {"index": 0, "message": message_of(answer, checked), "finish_reason": reason, "logprobs": None}


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
