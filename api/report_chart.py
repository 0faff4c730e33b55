"""Where the pieces of a report's charts lie, in pixels; the template draws them as SVG."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from api import figures
from app.batches.record import Hold
from app.gate import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.figures import Clock
    from app.batches.report import Report
    from app.batches.report.conditions import Wait

#: of a cause, in words
CAUSES: dict[str, str] = {
    Cause.USAGE_LIMIT: "usage limit",
    Cause.UTILIZATION: "share of the limit used",
    Cause.SPENDING: "cap on spending",
    Cause.LOGIN: "login",
    Cause.OVERLOAD: "overload",
    Cause.RATE_LIMIT: "too much at once",
    Cause.PAUSED: "pause",
    Hold.BATCH_WINDOW: "batch window closed",
}
#: around the plot: left for the numbers, right, top for the waits' names, bottom for the times
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 26, 24
#: about the width of a letter, and the room that a time needs
_LETTER, _TICK = 6.6, 64
_TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Band:
    """A wait's place."""

    x: float
    width: float
    cause: str
    #: what fits above it
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: the height of what was answered, and above it of what failed."""

    x: float
    width: float
    completed_y: float
    completed_height: float
    failed_y: float
    failed_height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A number at an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The throughput curve: requests a minute over time."""

    id: str
    width: int
    height: int
    left: int
    right: float
    top: int
    bottom: float
    bars: Sequence[Bar]
    bands: Sequence[Band]
    times: Sequence[Mark]
    rates: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Spark:
    """A worker's memory: an SVG polyline's points, its end, and the value at the top."""

    points: str
    x: float
    y: float


def letters(waits: Sequence[Wait]) -> list[str]:
    """A short name for each wait: A to Z, then numbers."""
    return [string.ascii_uppercase[n] if n < 26 else str(n + 1) for n in range(len(waits))]


def throughput(report: Report, clock: Clock, name: str, size: tuple[int, int]) -> Chart:
    """The chart at that width and height. `name` distinguishes its parts from those of another on the same page."""
    curve, (width, height) = report.curve, size
    right, bottom = width - _RIGHT, height - _BOTTOM
    per_second = (right - _LEFT) / max(1e-9, curve.until - curve.since)
    rates = [60 / curve.step_seconds * (a + b) for a, b in zip(curve.completed, curve.failed, strict=True)]
    top_rate = _nice(max(rates, default=0.0))
    per_request = (bottom - _TOP) / top_rate * 60 / curve.step_seconds
    step = curve.step_seconds * per_second

    def x(at: float) -> float:
        return round(_LEFT + (min(max(at, curve.since), curve.until) - curve.since) * per_second, 2)

    bars = []
    for place, (completed, failed) in enumerate(zip(curve.completed, curve.failed, strict=True)):
        if completed or failed:
            high, low = completed * per_request, failed * per_request
            gap = min(1.0, step / 5)
            left = round(_LEFT + place * step + gap / 2, 2)
            bars.append(
                Bar(
                    left,
                    round(step - gap, 2),
                    round(bottom - high, 2),
                    round(high, 2),
                    round(bottom - high - low, 2),
                    round(low, 2),
                )
            )
    return Chart(
        id=name,
        width=width,
        height=height,
        left=_LEFT,
        right=right,
        top=_TOP,
        bottom=bottom,
        bars=bars,
        bands=_bands(report.waits, right, x),
        times=_times(curve.since, curve.until, clock, right - _LEFT, x),
        rates=[Mark(round(bottom - (bottom - _TOP) * part, 2), _rate(top_rate * part)) for part in (0.0, 0.5, 1.0)],
    )


def spark(memory: Sequence[tuple[float, float]], report: Report, highest: float, *, width: int, height: int) -> Spark:
    """A worker's memory over the batch's time, 0 at the bottom and `highest` MiB at the top."""
    curve = report.curve
    span = max(1e-9, curve.until - curve.since)
    places = []
    for at, size in memory:
        x = min(max(0.0, (at - curve.since) / span), 1.0) * (width - 4) + 2
        places.append((round(x, 1), round(height - 2 - size / max(1.0, highest) * (height - 4), 1)))
    return Spark(" ".join(f"{x},{y}" for x, y in places), *places[-1])


def _bands(waits: Sequence[Wait], right: float, x: Callable[[float], float]) -> list[Band]:
    """Each with its name above it where that fits before the next begins, else with its letter alone."""
    found = []
    starts = [*(x(wait.since) for wait in waits), right]
    for wait, letter, (left, free_until) in zip(waits, letters(waits), pairwise(starts), strict=True):
        texts = (f"{letter}: {CAUSES.get(wait.cause, wait.cause)}", letter, "")
        label = next(text for text in texts if len(text) * _LETTER <= free_until - left or not text)
        found.append(Band(left, round(max(1.5, x(wait.until) - left), 2), wait.cause, label))
    return found


def _times(since: float, until: float, clock: Clock, width: float, x: Callable[[float], float]) -> list[Mark]:
    seconds = next((one for one in _TICK_SECONDS if (until - since) / one * _TICK <= width), _TICK_SECONDS[-1])
    text, half = (clock.second, 28) if seconds < 60 else (clock.hour if seconds < 86400 else clock.weekday, 17)
    at = since + (-clock.midnight_offset(since)) % seconds
    found = []
    while at <= until:
        place = x(at)
        if _LEFT + half <= place <= _LEFT + width + _RIGHT - half:
            found.append(Mark(place, text(at)))
        at += seconds
    return found


def _nice(value: float) -> float:
    """The next round number that is not below."""
    if value <= 0:
        return 1.0
    size = math.pow(10, math.floor(math.log10(value)))
    return next(size * one for one in (1, 2, 3, 4, 5, 6, 8, 10) if size * one >= value * 0.999)


def _rate(value: float) -> str:
    return figures.compact(value) if value >= 10 else f"{value:g}"
