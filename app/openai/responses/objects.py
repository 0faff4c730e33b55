"""The response object, whatever its state: made of the request as it is kept and, when there is one, the completion.

Source: OpenAI's API reference, "The response object", and the Open Responses specification (2026-04-24). All fields that these require are
there, null where there is nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.errors import ErrorReply
    from app.jobs.record import JobRecord


#: what the Messages API takes for `temperature` and `top_p` where a request has none: all of the distribution as it is
UNCHANGED = 1.0

#: the ids of a response's items are made of its own, so that an item can be found by its id alone
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
_ITEM = re.compile(r"(?:msg|fco?)_([0-9a-f]{32})(?:_(?P<input>in)?\d+)?")


def response_object(record: JobRecord, asked: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    """The response as far as it is `known`: status, model, output, usage, error, incomplete_details, completed_at."""
    return {
        "id": record.id,
        "object": "response",
        "created_at": int(record.created_at),
        "status": str(record.status),
        "background": record.background,
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": record.model,
        "output": [],
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "previous_response_id": asked.get("previous_response_id"),
        "prompt_cache_key": asked.get("prompt_cache_key"),
        "reasoning": {"effort": (asked.get("reasoning") or {}).get("effort"), "summary": None},
        "safety_identifier": asked.get("safety_identifier"),
        "service_tier": "flex" if record.yields else "default",
        "store": record.is_stored,
        "temperature": _number(asked.get("temperature")),
        "text": {"format": (asked.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": [
            {"description": None, "parameters": None, "strict": None, **tool} for tool in asked.get("tools") or ()
        ],
        "top_logprobs": 0,
        "top_p": _number(asked.get("top_p")),
        "truncation": "disabled",
        "usage": None,
        "metadata": dict(record.metadata),
        **known,
    }


def _number(asked: float | None) -> float:
    return UNCHANGED if asked is None else asked


def finished(record: JobRecord, asked: Mapping[str, Any], completion: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The response that a chat completion is: completed, or incomplete when its cap cut it."""
    choice = completion["choices"][0]
    is_cut = choice["finish_reason"] == "length"
    status = "incomplete" if is_cut else "completed"
    return response_object(
        record,
        asked,
        status=status,
        completed_at=None if is_cut else int(now),
        incomplete_details={"reason": "max_output_tokens"} if is_cut else None,
        model=completion["model"],
        output=output_items(record.id, choice["message"], status),
        usage=_usage(completion["usage"]),
    )


def failed(record: JobRecord, asked: Mapping[str, Any], error: ErrorReply) -> dict[str, Any]:
    """The response that ended with an error; cancelled ones have none."""
    status = str(record.status) if record.status.is_final else "failed"
    if status == "cancelled":
        return response_object(record, asked, status=status)
    return response_object(record, asked, status="failed", error=error_object(error))


def error_object(error: ErrorReply) -> dict[str, Any]:
    """The error with one of the few codes that OpenAI's clients know; our own code is in the message."""
    if error.status == 429:
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if error.status < 500 and error.status != 422 else "server_error"
    return {"code": code, "message": f"{error.message} ({error.cause})"}


def output_items(response_id: str, message: Mapping[str, Any], status: str = "completed") -> list[dict[str, Any]]:
    """The items of an assistant's message: its text or refusal, and its calls."""
    items: list[dict[str, Any]] = []
    calls = message.get("tool_calls") or ()
    if message.get("refusal"):
        items.append(message_item(response_id, status, {"type": "refusal", "refusal": message["refusal"]}))
    elif message.get("content") or not calls:
        items.append(message_item(response_id, status, text_part(message.get("content") or "")))
    for index, call in enumerate(calls):
        items.append(call_item(response_id, index, call, status))
    return items


def message_item(response_id: str, status: str, *content: dict[str, Any]) -> dict[str, Any]:
    """An assistant's message."""
    item_id = f"msg_{own_part(response_id)}"
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": list(content)}


def text_part(text: str) -> dict[str, Any]:
    """A message's text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(response_id: str, index: int, call: Mapping[str, Any], status: str) -> dict[str, Any]:
    """The call of a function, made of a chat completion's."""
    return {
        "id": f"fc_{own_part(response_id)}_{index}",
        "type": "function_call",
        "status": status,
        "call_id": call["id"],
        "name": call["function"]["name"],
        "arguments": call["function"]["arguments"],
    }


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read = usage.get("prompt_tokens_details") or {}
    written = usage.get("completion_tokens_details") or {}
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": read.get("cached_tokens") or 0,
            "cache_write_tokens": read.get("cache_write_tokens") or 0,
        },
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": written.get("reasoning_tokens") or 0},
        "total_tokens": usage["total_tokens"],
    }


def own_part(response_id: str) -> str:
    """What the response's id and its items' have in common."""
    return response_id.removeprefix("resp_")


def name_inputs(items: list[dict[str, Any]], response_id: str) -> None:
    """Give an id to each item of a request that came without one."""
    for index, item in enumerate(items):
        item["id"] = item["id"] or f"{_PREFIXES[item['type']]}_{own_part(response_id)}_in{index}"


def origin_of(item_id: str) -> tuple[str, bool] | None:
    """The id of the response that the item came with, and whether it was of its input; None for an id not made here."""
    found = _ITEM.fullmatch(item_id)
    return (f"resp_{found[1]}", found["input"] is not None) if found is not None else None
