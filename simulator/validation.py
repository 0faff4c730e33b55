"""The checks of the Messages API that a client can run into, with its own wording where that is known."""

from typing import Any

from simulator.errors import ApiError

#: Short model names that the CLI knows beside the full ones.
MODEL_ALIASES = frozenset({"default", "best", "opus", "sonnet", "haiku", "opusplan"})


def check_request(body: Any, beta: str = "") -> dict[str, Any]:
    """Return ``body`` as the object of a valid request for a message; ``beta`` is its ``anthropic-beta`` header.

    Raises:
        ApiError: 400 for a request that the Messages API refuses, 404 for an unknown model.
    """
    request = check_prompt(body)
    limit = request.get("max_tokens")
    if limit is None:
        raise ApiError(400, "max_tokens: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ApiError(400, "max_tokens: Input should be an integer greater than or equal to 1")
    _check_sampling(request)
    _check_thinking(request, limit, beta)
    return request


def check_prompt(body: Any) -> dict[str, Any]:
    """Return ``body`` as the object of a request whose tokens can be counted.

    Raises:
        ApiError: 400 without model, messages or a usable tool choice, 404 for an unknown model.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not a JSON object")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "model: Field required")
    check_model(model)
    _check_messages(body.get("messages"))
    _check_tools(body)
    return body


def check_model(model: str) -> None:
    """Raise a 404 :class:`ApiError` unless ``model`` begins like a Claude model or is one of the aliases."""
    name = model.removesuffix("[1m]")
    if not name.startswith(("claude", "simulated")) and name not in MODEL_ALIASES:
        raise ApiError(404, f"model: {model}")


def _check_messages(messages: Any) -> None:
    if messages is None:
        raise ApiError(400, "messages: Field required")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ApiError(400, "messages: Input should be a valid list")
    if not messages:
        raise ApiError(400, "messages: at least one message is required")
    for index, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, str | list):
            raise ApiError(400, f"messages.{index}.content: Field required")
        is_last_of_assistant = index == len(messages) - 1 and message.get("role") == "assistant"
        if not content and not is_last_of_assistant:
            raise ApiError(400, f"messages.{index}: all messages must have non-empty content")
        if isinstance(content, list):
            _check_blocks(index, content)


def _check_blocks(index: int, content: list[Any]) -> None:
    for position, block in enumerate(content):
        if not isinstance(block, dict) or "type" not in block:
            raise ApiError(400, f"messages.{index}.content.{position}.type: Field required")
        if block["type"] == "text" and not block.get("text"):
            raise ApiError(400, "messages: text content blocks must be non-empty")


def _check_tools(body: dict[str, Any]) -> None:
    choice = body.get("tool_choice") or {}
    if not isinstance(choice, dict):
        raise ApiError(400, "tool_choice: Input should be an object")
    names = {tool.get("name") for tool in body.get("tools") or [] if isinstance(tool, dict)}
    if choice.get("type") == "tool" and choice.get("name") not in names:
        raise ApiError(400, f"Tool '{choice.get('name')}' not found in provided tools")
    if choice.get("type") == "any" and not names:
        raise ApiError(400, "tool_choice: may only be specified while providing tools")


def _check_sampling(body: dict[str, Any]) -> None:
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ApiError(400, f"{name}: range: 0..1")
    for position, sequence in enumerate(body.get("stop_sequences") or []):
        if not isinstance(sequence, str) or not sequence.strip():
            raise ApiError(400, f"stop_sequences.{position}: each stop sequence must contain non-whitespace")


def _check_thinking(body: dict[str, Any], max_tokens: int, beta: str) -> None:
    thinking = body.get("thinking") or {}
    kind = thinking.get("type")
    if kind not in ("enabled", "adaptive"):
        return
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            raise ApiError(400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        # With interleaved thinking the budget is that of all the thinking blocks, and may be larger.
        if budget >= max_tokens and "interleaved-thinking" not in beta:
            raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
    if (body.get("tool_choice") or {}).get("type") in ("tool", "any"):
        raise ApiError(400, "Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature") not in (None, 1):
        raise ApiError(400, "`temperature` may only be set to 1 when thinking is enabled.")
