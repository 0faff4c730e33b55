"""The tokens of an answer, however its usage spells them."""

from __future__ import annotations

from typing import Any

import pytest

from app.outcome import tokens


@pytest.mark.parametrize(("prompt", "completion"), [("prompt", "completion"), ("input", "output")])
def test_both_spellings_say_the_same(prompt: str, completion: str) -> None:
    """A chat completion's usage and a response's are asked by the same names."""
    usage: dict[str, Any] = {
        f"{prompt}_tokens": 30,
        f"{prompt}_tokens_details": {"cached_tokens": 20},
        f"{completion}_tokens": 7,
        f"{completion}_tokens_details": None,
    }
    assert (tokens(usage, "prompt_tokens"), tokens(usage, "completion_tokens")) == (30, 7)
    assert tokens(usage, "prompt_tokens", "cached_tokens") == 20
    assert tokens(usage, "completion_tokens", "reasoning_tokens") == 0


def test_no_usage_is_none() -> None:
    """Of an answer that says nothing, nothing is counted."""
    assert tokens({}, "prompt_tokens") == tokens({}, "completion_tokens", "reasoning_tokens") == 0
