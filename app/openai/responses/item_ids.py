"""The ids of a response's items. Each is made of the response's own, so that an item can be found by its id alone."""

from __future__ import annotations

import re
from typing import Any

_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
_ITEM = re.compile(r"(?:msg|fco?)_([0-9a-f]{32})(?:_(?P<input>in)?\d+)?")


def own(response_id: str) -> str:
    """What the response's id and its items' have in common."""
    return response_id.removeprefix("resp_")


def name_inputs(items: list[dict[str, Any]], response_id: str) -> None:
    """Give an id to each item of a request that came without one."""
    for index, item in enumerate(items):
        item["id"] = item["id"] or f"{_PREFIXES[item['type']]}_{own(response_id)}_in{index}"


def origin_of(item_id: str) -> tuple[str, bool] | None:
    """The id of the response that the item came with, and whether it was of its input; None for an id not made here."""
    found = _ITEM.fullmatch(item_id)
    return (f"resp_{found[1]}", found["input"] is not None) if found is not None else None
