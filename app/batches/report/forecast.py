"""What the rest of a batch will cost and how long it will take, by the lines that were tried.

The tried lines stand for all lengths and places of the file (`app.batches.trial`). What one costs is taken for a straight line over
its length, by least squares; the rest's total is that line's sum over the rest's lengths, whose range is what two standard errors
leave open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    #: with `workers` at work all the time; None: by Message Batches, which take up to a day, or without workers
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
) -> Forecast | None:
    """The forecast; None where no tried line has ended, or none is left.

    `tried`: those that have ended; `lengths`: of all lines, by number, bytes; `ways`: those that the rest may go; `context_tokens`:
    how much the model reads.
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
    by_api = all(line.way == Way.BATCHES for line in ran)
    return Forecast(
        tried=len(tried),
        failed=sum(line.kind is not LineEnd.COMPLETED for line in tried),
        requests=len(rest),
        input_tokens=input_tokens,
        output_tokens=fit.total([line.output_tokens for line in ran]),
        cost_usd=_costs(ran, fit.total, ways),
        seconds=None
        if by_api or not workers
        else fit.total([line.run_seconds or 0.0 for line in ran]).times(1 / workers),
        workers=workers,
        longest_bytes=longest,
        longest_tokens=round(longest * tokens_a_byte),
        too_long=sum(length * tokens_a_byte > context_tokens for length in rest),
    )


def _costs(
    ran: Sequence[LineStats], total: Callable[[Sequence[float]], Range], ways: Sequence[Way]
) -> dict[str, Range]:
    """By way, Message Batches at half the price of the others. A line that has no answer cost what is known of it: nothing."""
    if any(line.cost_usd is None and line.kind is LineEnd.COMPLETED for line in ran):
        return {}
    full = total([(line.cost_usd or 0.0) * (1 / _HALF if line.way == Way.BATCHES else 1.0) for line in ran])
    return {str(way): full.times(_HALF) if way is Way.BATCHES else full for way in ways}


class _Fit:
    """A straight line over the tried lines' lengths, and its sum over the rest's."""

    def __init__(self, tried: Sequence[int], rest: Sequence[int]) -> None:
        self._count, self._rest_count = len(tried), len(rest)
        self._mean = sum(tried) / len(tried)
        self._offsets = [length - self._mean for length in tried]
        self._squares = sum(offset * offset for offset in self._offsets)
        spread = math.sqrt(self._squares / len(tried))
        self._has_slope = len(tried) >= _MIN_LINES and spread > _MIN_SPREAD * self._mean
        #: how much longer all of the rest is than if each were as long as a tried line
        self._longer = sum(rest) - len(rest) * self._mean

    def total(self, values: Sequence[float]) -> Range:
        """Of the rest, by the values of the tried lines."""
        mean = sum(values) / self._count
        slope = 0.0
        if self._has_slope:
            slope = sum(offset * value for offset, value in zip(self._offsets, values, strict=True)) / self._squares
        likely = max(0.0, self._rest_count * mean + slope * self._longer)
        residuals = [value - mean - slope * offset for offset, value in zip(self._offsets, values, strict=True)]
        freedom = max(1, self._count - 1 - self._has_slope)
        deviation = math.sqrt(sum(one * one for one in residuals) / freedom)
        # The error of the mean, of the slope, and of the rest's own chance.
        error = deviation * math.sqrt(
            self._rest_count**2 / self._count
            + (self._longer**2 / self._squares if self._has_slope else 0.0)
            + self._rest_count
        )
        return Range(max(0.0, likely - _ERRORS * error), likely, likely + _ERRORS * error)
