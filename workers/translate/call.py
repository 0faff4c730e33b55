"""An OpenAI chat completion request as a call of Claude: the launch profile and the prompt.

Roles stay roles: system and developer text goes to the system slot, the last user turn is the prompt, everything before
it is the history. Sources of the formats: OpenAI's chat completions reference, Anthropic's Messages reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app import errors
from workers.claude import Profile, Prompt
from workers.translate.parts import blocks_of, text_of
from workers.translate.wanted import Wanted, dump, wanted


@dataclass(frozen=True)
class Thinking:
    """How much a model thinks: newer ones by an effort, older ones within a budget of tokens."""

    effort: str
    tokens: int


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


@dataclass(frozen=True)
class Call:
    """What the invoker is asked."""

    profile: Profile
    prompt: Prompt
    #: what its answer has to be
    wanted: Wanted

    def again(self, words: str) -> Call:
        """The same request with some words at its end."""
        content = self.prompt.content
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
        more = (*blocks, {"type": "text", "text": words})
        return replace(self, prompt=replace(self.prompt, content=more))


def to_claude(payload: dict[str, Any]) -> Call:
    """Translate a job's payload (`ChatRequest.to_payload`). Raises `ErrorReply` (400) for what Claude has no form for."""
    request = payload["request"]
    system, turns = _split(request["messages"])
    if not turns or turns[-1]["role"] != "user":
        raise errors.invalid_request(
            "The last message must be from the user or a tool: Claude answers it.", param="messages"
        )
    content = turns[-1]["content"]
    answer = wanted(request)
    body = _extra_body(request)
    thinking = None if answer.is_forced else _thinking(request, body.get("max_tokens"))
    return Call(
        Profile(
            model=payload["claude_model"],
            system=system,
            effort=thinking.effort if thinking else None,
            thinking_tokens=thinking.tokens if thinking else None,
            schema=answer.launch_schema,
            tools=answer.launch_tools,
            extra_body=dump({**body, **answer.body}),
        ),
        Prompt(
            content=content if isinstance(content, str) else tuple(content),
            history=tuple(turns[:-1]),
        ),
        answer,
    )


def _thinking(request: dict[str, Any], cap: int | None) -> Thinking | None:
    """What was asked for; at most half of the output is for thinking, and less than `MIN_THINKING` is none."""
    found = THINKING.get(request.get("reasoning_effort", "none"))
    if found is None or cap is None:
        return found
    tokens = min(found.tokens, cap // 2)
    return replace(found, tokens=tokens) if tokens >= MIN_THINKING else None


def _split(messages: list[dict[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """The system text, and the turns with neighbours of one role joined, as the Messages API wants them."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            system.append(text_of(message["content"]))
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        content = blocks_of(message)
        if role == "assistant" and not content:
            # It said nothing: Claude takes no empty messages.
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = _as_blocks(turns[-1]["content"]) + _as_blocks(content)
        else:
            turns.append({"role": role, "content": content})
    return "\n\n".join(system) or None, turns


def _as_blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _extra_body(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the SDK has no name for; they are merged into each API request."""
    body: dict[str, Any] = {}
    caps = [request[name] for name in ("max_completion_tokens", "max_tokens") if name in request]
    if caps:
        body["max_tokens"] = min(caps)
    for name in ("temperature", "top_p"):
        if name in request:
            body[name] = request[name]
    stop = request.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    return body
