"""The checks of the Messages API that a client can run into, with its own wording where that is known."""

from typing import Any

from simulator.conversation import check_messages, check_system
from simulator.errors import ApiError
from simulator.model_names import check_model, takes_both, takes_sampling
from simulator.prompt_cache import check_marks

LEAST_TOP_P_OF_THINKING = 0.95


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
    check_system(body.get("system"))
    check_messages(body.get("messages"), model)
    _check_tools(body)
    check_marks(body)
    return body


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
        if (value != 1 or name == "top_p") and not takes_sampling(body["model"]):
            raise ApiError(400, f"`{name}` is deprecated for this model.")
    if None not in (body.get("temperature"), body.get("top_p")) and not takes_both(body["model"]):
        raise ApiError(400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
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
    if (body.get("top_p") or 1) < LEAST_TOP_P_OF_THINKING:
        raise ApiError(400, "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
