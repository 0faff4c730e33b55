"""A `MessagesRequest` as the body of `POST /v1/messages`.

The same bytes as by Claude's CLI with a key, but for what docs/ways.md lists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.messages.request import marked, turns
from workers.models import ALIASES, LARGE, model_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.messages.request import Json, MessagesRequest, Thinking

#: the longest answer where the client sets no cap, tokens (docs/cost.md), by the first that matches; else `OTHER_MAX_TOKENS`
MAX_TOKENS = (
    (re.compile(r"claude-(haiku|sonnet|opus)-(4-[6-9]|[5-9])\b"), 128_000),
    (re.compile(r"claude-(haiku|sonnet|opus)-4-5\b|claude-sonnet-4\b|claude-(fable|mythos)-5\b|claude-3-7\b"), 64_000),
    (re.compile(r"claude-3-5\b"), 8_192),
    (re.compile(r"claude-3\b"), 4_096),
)
OTHER_MAX_TOKENS = 32_000
#: models that do not think; those that do so within a budget; of these the one that takes an effort, too. All others: by an effort
_NEVER = re.compile(r"claude-3\b")
_BY_BUDGET = re.compile(r"claude-(haiku|sonnet|opus)-4\b(?!-[6-9]\b)")
_BY_BOTH = re.compile(r"claude-opus-4-5\b")
#: efforts that a model does not take: it is asked for `high`
_UNKNOWN_EFFORTS = (
    (re.compile(r"claude-opus-4-5\b"), ("xhigh", "max")),
    (re.compile(r"claude-(opus|sonnet)-4-6\b"), ("xhigh",)),
)
#: thinks between calls too, so that its budget may be larger than `max_tokens`; and `output_config.effort`
_INTERLEAVED, _EFFORT = "interleaved-thinking-2025-05-14", "effort-2025-11-24"
_LARGE_CONTEXT = "context-1m-2025-08-07"


def betas_of(request: MessagesRequest, body: Mapping[str, Any]) -> dict[str, str]:
    """The header that names what of a request needs to be asked for; none where nothing does."""
    betas = [_LARGE_CONTEXT] if request.model.endswith(LARGE) else []
    if body.get("thinking", {}).get("type") == "enabled":
        betas.append(_INTERLEAVED)
    if "output_config" in body:
        betas.append(_EFFORT)
    return {"anthropic-beta": ",".join(betas)} if betas else {}


def body_of(request: MessagesRequest, aliases: Mapping[str, str] = ALIASES) -> dict[str, Any]:
    """JSON, always of a stream."""
    model = model_of(request, aliases)
    *before, last = request.messages
    found: dict[str, Any] = {"model": model, "messages": turns(before, last["content"], request.cache)}
    if request.system:
        found["system"] = [marked({"type": "text", "text": request.system}, request.cache)]
    if request.tools:
        tools: list[Json] = [*request.tools]
        if request.system is None:
            tools[-1] = marked(tools[-1], request.cache)
        found["tools"] = tools
    if request.tool_choice is not None:
        found["tool_choice"] = dict(request.tool_choice)
    found["max_tokens"] = request.max_tokens or _max_tokens(model)
    if request.thinking is not None:
        found |= _thinking(request.thinking, model)
    # From an allow-list: `MessagesRequest.sampling` has `temperature` and `top_p` alone.
    found |= request.sampling
    if request.stop_sequences:
        found["stop_sequences"] = list(request.stop_sequences)
    found["stream"] = True
    return found


def _thinking(wanted: Thinking, model: str) -> dict[str, Any]:
    if _NEVER.match(model):
        return {}
    is_unknown = any(pattern.match(model) and wanted.effort in efforts for pattern, efforts in _UNKNOWN_EFFORTS)
    effort = {"output_config": {"effort": "high" if is_unknown else wanted.effort}}
    if not _BY_BUDGET.match(model):
        return {"thinking": {"type": "adaptive"}, **effort}
    found: dict[str, Any] = {"thinking": {"budget_tokens": wanted.tokens, "type": "enabled"}}
    return found | effort if _BY_BOTH.match(model) else found


def _max_tokens(model: str) -> int:
    return next((limit for pattern, limit in MAX_TOKENS if pattern.match(model)), OTHER_MAX_TOKENS)
