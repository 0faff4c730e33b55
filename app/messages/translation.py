"""OpenAI's chat completion request as one of the Messages API, and Claude's answer as OpenAI's chat completion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.messages.conversation import conversation
from app.messages.output_spec import output_spec
from app.messages.request import CachePlan, MessagesRequest, Thinking
from app.outcome import COST_HEADER, IGNORED, SAVED_HEADER, WAY_HEADER, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.jobs.record import JobRecord
    from app.messages.answer import Answer
    from app.messages.checks import Checked

#: sampling parameters, by what asks for nothing: the models' own value
NEUTRAL = {"temperature": 1, "top_p": 1}
#: beside thinking the API takes a temperature of 1 only, and no less of `top_p`
_LEAST_TOP_P = 0.95
#: the least that the API takes as a budget, tokens
MIN_THINKING = 1024
#: for OpenAI's `reasoning_effort`; the others, and none at all, mean no thinking
THINKING = {
    "low": Thinking("low", 2048),
    "medium": Thinking("medium", 8192),
    "high": Thinking("high", 16384),
    "xhigh": Thinking("xhigh", 24576),
    "max": Thinking("max", 31999),
}
#: OpenAI's word for each of Claude's stop reasons
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "stop",
}


def to_claude(payload: dict[str, Any]) -> MessagesRequest:
    """Translate a job's payload (`ChatRequest.to_payload`). Raises `ErrorReply` (400) for what Claude has no form for."""
    request = payload["request"]
    said = conversation(request["messages"])
    output = output_spec(request)
    thinking = None if output.is_forced else thinking_of(request)
    for_claude, cut_at = _parted(request.get("stop"))
    if output.value is None:
        output = replace(output, cut_at=cut_at)
    asked = asked_sampling(request)
    return MessagesRequest(
        model=payload["claude_model"],
        messages=tuple(said.turns),
        system=said.system,
        tools=output.tools,
        tool_choice=output.tool_choice,
        max_tokens=_cap(request),
        stop_sequences=for_claude,
        sampling=asked if thinking is None else beside_thinking(asked),
        thinking=thinking,
        output=output,
        cache=CachePlan(**payload["cache"]) if "cache" in payload else None,
    )


def _cap(request: dict[str, Any]) -> int | None:
    caps = [request[name] for name in ("max_completion_tokens", "max_tokens") if name in request]
    return min(caps) if caps else None


def thinking_of(request: dict[str, Any]) -> Thinking | None:
    """What a request that forces no answer asks for.

    At most half of the output is for thinking, and less than `MIN_THINKING` is none.
    """
    cap = _cap(request)
    found = THINKING.get(request.get("reasoning_effort", "none"))
    if found is None or cap is None:
        return found
    tokens = min(found.tokens, cap // 2)
    return replace(found, tokens=tokens) if tokens >= MIN_THINKING else None


def asked_sampling(request: Mapping[str, Any]) -> dict[str, float]:
    """`temperature` and `top_p`, those that ask for something."""
    return {name: request[name] for name, neutral in NEUTRAL.items() if request.get(name, neutral) != neutral}


def beside_thinking(sampling: Mapping[str, float]) -> dict[str, float]:
    """Those that the API takes of a model that thinks."""
    return {name: value for name, value in sampling.items() if name == "top_p" and value >= _LEAST_TOP_P}


def _parted(stop: str | Iterable[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stop sequences for Claude, and those to cut at here (`app.messages.stops`)."""
    all_of_them = (stop,) if isinstance(stop, str) else tuple(stop or ())
    return tuple(one for one in all_of_them if one.strip()), tuple(one for one in all_of_them if not one.strip())


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
    if answer.cache_saved_usd:
        headers[SAVED_HEADER] = f"{answer.cache_saved_usd:.6f}"
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
