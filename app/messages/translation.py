"""An OpenAI chat completion request as one of the Messages API.

Roles stay roles: system and developer messages become the system text, all others become turns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.messages.conversation import conversation
from app.messages.output_spec import output_spec
from app.messages.request import MessagesRequest, Thinking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
