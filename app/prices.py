"""What an answer costs: one dated table of list prices, and the arithmetic. What is not known has no price.

Sources: Anthropic's price page (https://platform.claude.com/docs/en/about-claude/pricing) and the table of Claude's CLI
2.1.332, which agree; `tests/integration/claude/test_prices.py` compares with the latter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the day on which the list was compared with its sources
LISTED_ON = date(2026, 11, 28)

#: of Message Batches, for all tokens
_HALF = 0.5
#: of requests that are bound to the United States (`inference_geo`), for all tokens
_IN_THE_US = 1.1
#: service tiers whose tokens have list prices
_TIERS = (None, "standard", "batch")
#: behind a model's name: its date, or the window of a million tokens
_SUFFIXES = re.compile(r"(-latest|-\d{8})?(\[1m\])?$")


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float
    #: to write a token to the prompt cache, for five minutes and for an hour, and to read it
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float
    #: prompts of more tokens than this have another price, for all tokens of the request
    long_above: int | None = None
    long: Price | None = None


def _listed(
    input_: float, output: float, cache_read: float, long_above: int | None = None, long: Price | None = None
) -> Price:
    """With Anthropic's prices of cache writes: 1.25 times the input's, and twice for an hour."""
    return Price(input_, output, 1.25 * input_, 2 * input_, cache_read, long_above, long)


_SONNET = _listed(3, 15, 0.30)
_OPUS_4 = _listed(15, 75, 1.50)
_OPUS_4_5 = _listed(5, 25, 0.50)

#: by a model's name without its date
LIST: Mapping[str, Price] = MappingProxyType(
    {
        "claude-3-5-haiku": _listed(0.80, 4, 0.08),
        "claude-haiku-4-5": _listed(1, 5, 0.10),
        "claude-haiku-5-5": _listed(0.10, 0.50, 0.01, 100_000, _listed(0.50, 2.50, 0.05)),
        "claude-3-5-sonnet": _SONNET,
        "claude-3-7-sonnet": _SONNET,
        "claude-sonnet-4": _SONNET,
        "claude-sonnet-4-0": _SONNET,
        "claude-sonnet-4-5": _SONNET,
        "claude-sonnet-4-6": _SONNET,
        "claude-sonnet-5": _listed(2, 10, 0.20),
        "claude-sonnet-5-5": _listed(2, 10, 0.10),
        "claude-opus-4": _OPUS_4,
        "claude-opus-4-0": _OPUS_4,
        "claude-opus-4-1": _OPUS_4,
        "claude-opus-4-5": _OPUS_4_5,
        "claude-opus-4-6": _OPUS_4_5,
        "claude-opus-4-7": _OPUS_4_5,
        "claude-opus-4-8": _OPUS_4_5,
        "claude-opus-5": _OPUS_4_5,
        "claude-opus-5-5": _listed(4, 20, 0.20),
        "claude-fable-5": _listed(10, 50, 1),
        "claude-fable-5-1": _listed(10, 50, 0.25),
        "claude-fable-5-2": _listed(8, 40, 0.20),
        "claude-mythos-5": _listed(10, 50, 1),
        "claude-mythos-5-1": _listed(10, 50, 0.25),
        "claude-mythos-5-2": _listed(8, 40, 0.20),
    }
)


def cost_usd(
    model: str, usage: Mapping[str, Any], *, half: bool = False, prices: Mapping[str, Price] = LIST
) -> float | None:
    """What one request has cost, USD; None where nobody knows, or the usage is of a kind that the table has no price for.

    `model`: as it was asked for, no alias; `usage`: as the Messages API reported it; `half`: by Message Batches, which a
    usage may say, too (`service_tier`).
    """
    price = price_of(model, prices)
    tier = usage.get("service_tier")
    if price is None or tier not in _TIERS or usage.get("speed") == "fast" or _uses_server_tools(usage):
        return None
    plain, output = usage.get("input_tokens"), usage.get("output_tokens")
    if plain is None or output is None:
        return None
    read = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    for_an_hour = min(written, (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
    if price.long is not None and plain + read + written > (price.long_above or 0):
        price = price.long
    usd: float = (
        plain * price.input
        + output * price.output
        + (written - for_an_hour) * price.cache_write_5m
        + for_an_hour * price.cache_write_1h
        + read * price.cache_read
    ) / 1_000_000
    if half or tier == "batch":
        usd *= _HALF
    return usd * _IN_THE_US if usage.get("inference_geo") == "us" else usd


def cache_saved_usd(
    model: str, usage: Mapping[str, Any], *, half: bool = False, prices: Mapping[str, Price] = LIST
) -> float | None:
    """What the prompt cache has saved of one request's cost, USD; below 0 where it wrote more than it read. Arguments as of `cost_usd`."""
    cost = cost_usd(model, usage, half=half, prices=prices)
    if cost is None:
        return None
    read, written = ((usage.get(name) or 0) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    plain = {
        **usage,
        "input_tokens": usage["input_tokens"] + read + written,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    without = cost_usd(model, plain, half=half, prices=prices)
    return None if without is None else without - cost


def price_of(model: str, prices: Mapping[str, Price] = LIST) -> Price | None:
    """The price of a model: by its whole name, or else without its date; None: not known."""
    return prices.get(model) or prices.get(_SUFFIXES.sub("", model))


def _uses_server_tools(usage: Mapping[str, Any]) -> bool:
    """Whether it has searches and the like, which have prices of their own; nothing here asks for them."""
    return any((usage.get("server_tool_use") or {}).values())
