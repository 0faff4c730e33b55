"""Which answer a request gets: content blocks, stop reason and usage.

Nothing is sent or remembered here: the same request gets the same content.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from simulator import tokens
from simulator.blocks import Block, TextBlock, ThinkingBlock, ToolUseBlock
from simulator.message_request import STRUCTURED_OUTPUT_TOOL, MessageRequest
from simulator.rules import Respond, ToolCall, Usage
from simulator.sample import sample

#: Characters of the last user text that the default answer repeats.
QUOTED_CHARACTERS = 200

#: Ask for a tool in a prompt: ``[[call:NAME]]``.
CALL_MARKER = re.compile(r"\[\[call:([A-Za-z0-9_.-]+)\]\]")

_THINKING = "Simulated thinking."


@dataclass(frozen=True)
class Answer:
    """A message as it is sent, before its form (stream or JSON) is chosen."""

    model: str
    blocks: list[Block]
    stop_reason: str
    usage: dict[str, Any]
    stop_sequence: str | None = None
    id: str = field(default_factory=lambda: f"msg_sim_{uuid4().hex[:24]}")


def answer(request: MessageRequest, respond: Respond, cached: dict[str, Any] | None = None) -> Answer:
    """Return the answer that ``respond`` asks for, or the default one, within the request's limits.

    ``cached``: what the prompt cache makes of the usage.
    """
    blocks, stop_reason = _content(request, respond)
    if request.thinks or respond.thinking is not None:
        blocks = [ThinkingBlock(respond.thinking or _THINKING), *blocks]
    blocks, cut_reason, stop_sequence = _limit(blocks, request)
    output_tokens = sum(block.tokens for block in blocks)
    return Answer(
        model=f"simulated-{request.model.removeprefix('simulated-')}",
        blocks=blocks,
        stop_reason=respond.stop_reason or cut_reason or stop_reason,
        stop_sequence=stop_sequence,
        usage=_usage(respond.usage, request.input_tokens, output_tokens, cached or {}),
    )


def _content(request: MessageRequest, respond: Respond) -> tuple[list[Block], str]:
    given = respond.model_fields_set
    if respond.tool_calls is not None:
        return _tool_uses(request, respond.tool_calls)
    if "structured" in given:
        return _structured(request, respond.structured)
    if respond.refusal:
        text = respond.refusal if isinstance(respond.refusal, str) else ""
        return ([TextBlock(text)] if text else []), "refusal"
    texts = _texts(request, respond)
    if texts is not None:
        return [TextBlock(text) for text in texts], "end_turn"
    return _default(request)


def _texts(request: MessageRequest, respond: Respond) -> list[str] | None:
    """Return the texts that ``respond`` gives, one for each block; None when it gives none."""
    if respond.text is not None:
        return [respond.text]
    if respond.texts is not None:
        return respond.texts
    if "json_value" in respond.model_fields_set:
        return [_dump(respond.json_value)]
    if respond.repeat_text is not None:
        return [respond.repeat_text.unit * respond.repeat_text.count]
    if respond.echo:
        return [request.last_user_text]
    return None


def _default(request: MessageRequest) -> tuple[list[Block], str]:
    calls = _wanted_calls(request)
    if calls:
        return _tool_uses(request, calls)
    if request.has_structured_result:
        return [TextBlock("Simulated structured answer given.")], "end_turn"
    parts = [f"Simulated answer to: {request.last_user_text[:QUOTED_CHARACTERS]}", *request.attachments]
    parts += [_describe_result(result) for result in request.tool_results]
    return [TextBlock(" ".join(parts))], "end_turn"


def _wanted_calls(request: MessageRequest) -> list[ToolCall]:
    """Return the calls that the request itself asks for: by force, by structured output or by marker."""
    choice = request.tool_choice.get("type")
    if choice == "none":
        return []
    if choice == "tool":
        return [ToolCall(name=request.tool_choice["name"])]
    marked = [] if request.tool_results else CALL_MARKER.findall(request.last_user_text)
    calls = [ToolCall(name=name) for name in marked if request.find_tool(name)]
    if calls:
        return calls
    offers_structured = request.find_tool(STRUCTURED_OUTPUT_TOOL) is not None
    if offers_structured and not request.has_structured_result:
        return [ToolCall(name=STRUCTURED_OUTPUT_TOOL)]
    if choice == "any":
        return [ToolCall(name=str(request.tools[0]["name"]))]
    return []


def _tool_uses(request: MessageRequest, calls: list[ToolCall]) -> tuple[list[Block], str]:
    blocks: list[Block] = []
    for call in calls:
        tool = request.find_tool(call.name) or {"name": call.name}
        value = call.input if call.input is not None else sample(tool.get("input_schema", {"type": "object"}))
        blocks.append(ToolUseBlock(_dump(value), name=str(tool["name"])))
    return blocks, "tool_use"


def _structured(request: MessageRequest, value: Any) -> tuple[list[Block], str]:
    tool = request.find_tool(STRUCTURED_OUTPUT_TOOL)
    if tool is None:
        return [TextBlock(_dump(value))], "end_turn"
    return [ToolUseBlock(_dump(value), name=str(tool["name"]))], "tool_use"


def _limit(blocks: list[Block], request: MessageRequest) -> tuple[list[Block], str | None, str | None]:
    """Cut ``blocks`` at the first stop sequence or at ``max_tokens``; return why and at which sequence."""
    left = request.max_tokens
    kept: list[Block] = []
    for block in blocks:
        text, sequence = block.content, None
        if isinstance(block, TextBlock):
            text, sequence = _stop(text, request.stop_sequences)
        if tokens.count(text) > left:
            kept.append(block.with_content(tokens.cut(text, left)))
            return kept, "max_tokens", None
        kept.append(block.with_content(text) if sequence else block)
        if sequence:
            return kept, "stop_sequence", sequence
        left -= tokens.count(text)
    return kept, None, None


def _stop(text: str, sequences: list[str]) -> tuple[str, str | None]:
    found = [(text.index(sequence), sequence) for sequence in sequences if sequence in text]
    if not found:
        return text, None
    position, sequence = min(found, key=lambda one: one[0])
    return text[:position], sequence


def _usage(given: Usage, input_tokens: int, output_tokens: int, cached: dict[str, Any]) -> dict[str, Any]:
    counted: dict[str, Any] = {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }
    own = given.model_dump(exclude_none=True)
    # A rule's own counts of the input go together.
    return counted | ({} if own.keys() - {"output_tokens"} else cached) | own


def _describe_result(result: dict[str, Any]) -> str:
    content = result.get("content")
    text = content if isinstance(content, str) else _dump(content)
    return f"[tool_result {text[:QUOTED_CHARACTERS]}]"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
