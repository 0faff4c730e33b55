"""What the rest of a batch will cost and how long it will take, by the lines that were tried.

The tried lines stand for all lengths and places of the file (`app.batches.trial`). What one costs is taken for a straight line over
its length, by least squares; the rest's total is that line's sum over the rest's lengths, whose range is what two standard errors
leave open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from app.batches.output import LineEnd
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.batches.report.line_stats import LineStats

#: how many standard errors the range is wide to each side
_ERRORS = 2.0
#: with fewer lines, or lengths that differ by less than this share of their mean, a line's length says nothing
_MIN_LINES, _MIN_SPREAD = 8, 0.05
#: of Message Batches, beside the others' prices
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is not known yet."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """All three."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of the lines that have not been tried. Costs are US dollars at list prices."""

    tried: int
    #: of the tried ones
    failed: int
    requests: int
    input_tokens: Range
    output_tokens: Range
    #: by way to Claude; empty where nobody knows what the tried lines cost
    cost_usd: Mapping[str, Range]
    #: by the same ways, what the prompt cache saves of it: as much a line as it saved of those that read from it
    cache_saved_usd: Mapping[str, Range]
    #: with `workers` at work all the time; None: some came by Message Batches, which take up to a day, or there are no workers
    seconds: Range | None
    workers: int
    #: the longest line, bytes, and the tokens that it will be about
    longest_bytes: int
    longest_tokens: int
    #: lines that are longer than the model may read, by that measure
    too_long: int


def of(
    tried: Sequence[LineStats],
    lengths: Sequence[int],
    *,
    ways: Sequence[Way],
    workers: int,
    context_tokens: int,
    saves_in_parts: bool = False,
) -> Forecast | None:
    """The forecast; None where no tried line has ended, or none is left.

    `tried`: those that have ended; `lengths`: of all lines, by number, bytes; `ways`: those that the rest may go; `context_tokens`:
    how much the model reads; `saves_in_parts`: Message Batches read the rest's head from the prompt cache, too.
    """
    ran = [line for line in tried if line.run_seconds is not None]
    done = {line.number for line in tried}
    rest = [length for number, length in enumerate(lengths) if number not in done]
    if not ran or not rest:
        return None
    fit = _Fit([lengths[line.number] for line in ran], rest)
    answered = [line for line in ran if line.kind is LineEnd.COMPLETED]
    input_tokens = fit.total([line.input_tokens for line in ran])
    tokens_a_byte = sum(line.input_tokens for line in answered) / max(1, sum(lengths[line.number] for line in answered))
    longest = max(lengths)
    cost_usd, cache_saved_usd = _costs(ran, fit.total, ways, saves_in_parts=saves_in_parts)
    # What a line waits in a message batch is no worker's time.
    by_batches = any(line.way == Way.BATCHES for line in ran)
    return Forecast(
        tried=len(tried),
        failed=sum(line.kind is not LineEnd.COMPLETED for line in tried),
        requests=len(rest),
        input_tokens=input_tokens,
        output_tokens=fit.total([line.output_tokens for line in ran]),
        cost_usd=cost_usd,
        cache_saved_usd=cache_saved_usd,
        seconds=None if by_batches or not workers else fit.total(_occupied(ran)).times(1 / workers),
        workers=workers,
        longest_bytes=longest,
        longest_tokens=round(longest * tokens_a_byte),
        too_long=sum(length * tokens_a_byte > context_tokens for length in rest),
    )


def _costs(
    ran: Sequence[LineStats], total: Callable[[Sequence[float]], Range], ways: Sequence[Way], *, saves_in_parts: bool
) -> tuple[dict[str, Range], dict[str, Range]]:
    """By way, Message Batches at half the price of the others: the cost, and what the prompt cache saves of it.

    A line that has no answer cost what is known of it.
    """
    if any(line.cost_usd is None and line.kind is LineEnd.COMPLETED for line in ran):
        return {}, {}
    prices = [1 / _HALF if line.way == Way.BATCHES else 1.0 for line in ran]
    uncached = [
        ((line.cost_usd or 0.0) + line.cache_saved_usd) * price for line, price in zip(ran, prices, strict=True)
    ]
    saved = _steady([line.cache_saved_usd * price for line, price in zip(ran, prices, strict=True)])
    cost = total([one - other for one, other in zip(uncached, saved, strict=True)])
    without, saving = total(uncached), total(saved)
    costs, savings = {}, {}
    for way in ways:
        factor, has_cache = (_HALF, saves_in_parts) if way is Way.BATCHES else (1.0, True)
        costs[str(way)] = (cost if has_cache else without).times(factor)
        if has_cache and saving.likely > 0:
            savings[str(way)] = saving.times(factor)
    return costs, savings


def _steady(saved: Sequence[float]) -> list[float]:
    """What each line would save if another had written the head before it: the one that wrote it did so for all."""
    reading = [one for one in saved if one > 0]
    if not reading:
        return [*saved]
    usual = sum(reading) / len(reading)
    return [usual if one < 0 else one for one in saved]


def _occupied(ran: Sequence[LineStats]) -> list[float]:
    """For how long each line kept its worker: its run, and the usual time until that worker's next one began, seconds."""
    spans = sorted((line.worker, line.ended_at - (line.run_seconds or 0.0), line.ended_at) for line in ran)
    pauses = [later[1] - one[2] for one, later in pairwise(spans) if one[0] == later[0] != ""]
    pause = max(0.0, median(pauses)) if pauses else 0.0
    return [(line.run_seconds or 0.0) + pause for line in ran]


class _Fit:
    """A straight line over the tried lines' lengths, and its sum over the rest's."""

    def __init__(self, tried: Sequence[int], rest: Sequence[int]) -> None:
        count, mean = len(tried), sum(tried) / len(tried)
        self._rest_count = len(rest)
        self._offsets = [length - mean for length in tried]
        squares = sum(offset * offset for offset in self._offsets)
        has_slope = count >= _MIN_LINES and math.sqrt(squares / count) > _MIN_SPREAD * mean
        #: without a slope every length is as good as the mean
        self._squares = squares if has_slope else math.inf
        #: how much longer all of the rest is than if each were as long as a tried line
        longer = sum(rest) - len(rest) * mean
        #: how many of the rest's lines each tried one stands for
        self._weights = [len(rest) / count + longer * offset / self._squares for offset in self._offsets]

    def total(self, values: Sequence[float]) -> Range:
        """Of the rest, by the values of the tried lines."""
        likely = max(0.0, sum(weight * value for weight, value in zip(self._weights, values, strict=True)))
        misses = self._misses(values)
        # The error of the fit, and of the rest's own chance.
        error = math.sqrt(
            sum((weight * miss) ** 2 for weight, miss in zip(self._weights, misses, strict=True))
            + self._rest_count * sum(miss * miss for miss in misses) / len(misses)
        )
        return Range(max(0.0, likely - _ERRORS * error), likely, likely + _ERRORS * error)

    def _misses(self, values: Sequence[float]) -> list[float]:
        """By how much each value is off the straight line that the other values make (HC3): long lines may be off by more than short ones."""
        count = len(values)
        if count == 1:
            # Nothing is known of how lines differ: by as much as they are.
            return list(values)
        mean = sum(values) / count
        slope = sum(offset * value for offset, value in zip(self._offsets, values, strict=True)) / self._squares
        return [
            # A line alone at its length makes the slope: the others can't tell how far it is off.
            (value - mean - slope * offset) / max(1 / count, 1 - 1 / count - offset * offset / self._squares)
            for offset, value in zip(self._offsets, values, strict=True)
        ]
