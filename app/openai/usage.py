"""The tokens of an answer's `usage`, which chat completions and responses spell in two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESPONSES_NAMES = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}


def tokens(usage: Mapping[str, Any], name: str, detail: str = "") -> int:
    """Of either usage, by chat completions' name; `detail`: the part of it that its details name so. 0: it says nothing."""
    name = name if name in usage else _RESPONSES_NAMES[name]
    if not detail:
        return int(usage.get(name) or 0)
    return int((usage.get(f"{name}_details") or {}).get(detail) or 0)
