"""The checks of ``messages``: what a message and its blocks may be, and that calls and results belong together."""

from typing import Any

from simulator.errors import ApiError
from simulator.model_names import takes_prefill
from simulator.pictures import check_source

_NO_TEXT = "text content blocks must be non-empty"
_BLANK = "text content blocks must contain non-whitespace text"


def check_messages(messages: Any, model: str) -> None:
    """Raise a 400 :class:`ApiError` for the first thing that the API refuses."""
    if messages is None:
        raise ApiError(400, "messages: Field required")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ApiError(400, "messages: Input should be a valid list")
    if not messages:
        raise ApiError(400, "messages: at least one message is required")
    for index, message in enumerate(messages):
        _check_message(index, message, is_last=index == len(messages) - 1)
    turns = [message for message in messages if message["role"] != "system"]
    _check_prefill(turns[-1], model)
    _check_calls(turns)


def check_system(system: Any) -> None:
    """Raise a 400 :class:`ApiError` for a system prompt with a block that has no text."""
    for block in system if isinstance(system, list) else ():
        if isinstance(block, dict) and block.get("type") == "text":
            _check_text(block.get("text"), "system")


def _check_message(index: int, message: dict[str, Any], *, is_last: bool) -> None:
    role, content = message.get("role"), message.get("content")
    # The CLI puts a system message of its own behind the user's, for models that take one there.
    if role not in ("user", "assistant") and (role != "system" or index == 0):
        raise ApiError(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
    if not isinstance(content, str | list):
        raise ApiError(400, f"messages.{index}.content: Field required")
    if not content and not (is_last and role == "assistant"):
        raise ApiError(
            400,
            f"messages.{index}: all messages must have non-empty content except for the optional final assistant message",
        )
    if isinstance(content, str):
        if content:
            _check_text(content, "messages")
        return
    for position, block in enumerate(content):
        _check_block(block, f"messages.{index}.content.{position}")


def _check_block(block: Any, place: str) -> None:
    if not isinstance(block, dict) or "type" not in block:
        raise ApiError(400, f"{place}.type: Field required")
    match block["type"]:
        case "text":
            _check_text(block.get("text"), "messages")
        case "image" | "document":
            check_source(block, place)
        case "tool_use":
            if not isinstance(block.get("input"), dict):
                raise ApiError(400, f"{place}.tool_use.input: Input should be a valid dictionary")
        case "tool_result" if isinstance(block.get("content"), list):
            for position, inner in enumerate(block["content"]):
                _check_block(inner, f"{place}.tool_result.content.{position}")


def _check_text(text: Any, place: str) -> None:
    if not text:
        raise ApiError(400, f"{place}: {_NO_TEXT}")
    if not str(text).strip():
        raise ApiError(400, f"{place}: {_BLANK}")


def _check_prefill(last: dict[str, Any], model: str) -> None:
    if last.get("role") != "assistant":
        return
    if not takes_prefill(model):
        raise ApiError(
            400,
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        )
    texts = _texts(last.get("content"))
    if texts and texts[-1] != texts[-1].rstrip():
        raise ApiError(400, "messages: final assistant content cannot end with trailing whitespace")


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(block.get("text")) for block in content or () if block.get("type") == "text"]


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """A call is answered in the very next message, before anything else in it, once; a result answers such a call."""
    open_calls: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = [str(block.get("tool_use_id")) for block in blocks if block["type"] == "tool_result"]
        for position, block in enumerate(blocks):
            if block["type"] == "tool_result" and str(block.get("tool_use_id")) not in open_calls:
                raise ApiError(
                    400,
                    f"messages.{index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {block.get('tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use`"
                    " block in the previous message.",
                )
        leading = [block["type"] for block in blocks[: len(results)]]
        missing = open_calls if set(leading) - {"tool_result"} else [call for call in open_calls if call not in results]
        if missing:
            raise ApiError(
                400,
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the"
                " next message.",
            )
        if len(set(results)) < len(results):
            raise ApiError(400, f"messages.{index}.content: each tool_use must have a single result")
        open_calls = [str(block.get("id")) for block in blocks if block["type"] == "tool_use"]
        if not seen.isdisjoint(open_calls) or len(set(open_calls)) < len(open_calls):
            raise ApiError(400, f"messages.{index}.content: `tool_use` ids must be unique")
        seen.update(open_calls)
