"""An OpenAI chat completion request as one of the Messages API.

Roles stay roles: system and developer text goes to the system slot, all else are turns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.messages import sampling, stops
from app.messages.conversation import conversation
from app.messages.output_spec import output_spec
from app.messages.request import MessagesRequest, Thinking

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


def to_claude(payload: dict[str, Any]) -> MessagesRequest:
    """Translate a job's payload (`ChatRequest.to_payload`). Raises `ErrorReply` (400) for what Claude has no form for."""
    request = payload["request"]
    said = conversation(request["messages"])
    output = output_spec(request)
    thinking = None if output.is_forced else thinking_of(request)
    for_claude, cut_at = stops.parted(request.get("stop"))
    if output.value is None:
        output = replace(output, cut_at=cut_at)
    asked = sampling.asked(request)
    return MessagesRequest(
        model=payload["claude_model"],
        messages=tuple(said.turns),
        system=said.system,
        tools=output.tools,
        tool_choice=output.tool_choice,
        max_tokens=_cap(request),
        stop_sequences=for_claude,
        sampling=asked if thinking is None else sampling.beside_thinking(asked),
        thinking=thinking,
        output=output,
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
