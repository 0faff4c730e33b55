"""The charts' geometry: all of it within the picture, and true to scale."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api import report_chart
from api.figures import Clock
from app.batches.output import LineEnd
from app.batches.record import Hold
from app.batches.report import build
from app.batches.report.conditions import Conditions
from app.gate import Cause
from tests.unit.batches.test_report import T0, batch, stats, wait

STYLE = (Path(report_chart.__file__).parent / "templates" / "batch_report.css").read_text()


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


@pytest.mark.parametrize("seconds", [0, 3, 90, 4000, 30_000, 7 * 86400])
@pytest.mark.parametrize("size", [(960, 280), (336, 240)])
def test_all_of_it_is_within_the_picture(seconds: float, size: tuple[int, int]) -> None:
    """Bars, bands and numbers of nights of any length lie within the chart, and there are not too many."""
    lines = [stats(n, seconds * n / 50, kind=LineEnd.FAILED if n % 7 == 0 else LineEnd.COMPLETED) for n in range(51)]
    around = Conditions(waits=(wait(-9, seconds / 3), wait(seconds / 2, seconds / 2 + 1, "login")))
    record = batch(completed_at=T0 + seconds, total=51, completed=43, failed=8)
    found = build.add_up(record, lines, around, {}, T0 + seconds)
    clock = Clock(ZoneInfo("Europe/Berlin"), found.curve.since, found.curve.until)
    chart = report_chart.throughput(found, clock, "one", size)
    assert sum(found.curve.completed) + sum(found.curve.failed) == 51
    assert len(chart.bars) <= build.MAX_BARS
    for bar in chart.bars:
        assert chart.left <= bar.x <= bar.x + bar.width <= chart.right + 0.1
        assert chart.top - 0.1 <= bar.failed_y <= bar.completed_y <= chart.bottom
    for band in chart.bands:
        assert chart.left <= band.x <= band.x + band.width <= chart.right + 1.6
    for mark in chart.times:
        assert 15 <= mark.at <= size[0] - 15
    assert len(chart.times) <= size[0] / 40


def test_heights_are_rates() -> None:
    """A step's height is its requests a minute, failed ones on top, by the numbers at the axis."""
    lines = [stats(n, 5, kind=LineEnd.FAILED if n < 3 else LineEnd.COMPLETED) for n in range(12)]
    record = batch(completed_at=T0 + 600, total=12, completed=9, failed=3)
    found = build.add_up(record, lines, Conditions(), {}, T0 + 600)
    chart = report_chart.throughput(found, Clock(None, T0, T0 + 600), "one", (960, 280))
    (bar,) = chart.bars
    per_minute = 60 / found.curve.step_seconds
    top = float(chart.rates[-1].text)
    assert bar.completed_height == pytest.approx(9 * per_minute / top * (chart.bottom - chart.top), abs=0.1)
    assert bar.failed_height == pytest.approx(bar.completed_height / 3, abs=0.1)


def test_each_cause_has_a_name_and_a_colour() -> None:
    """Whatever closes the gate, or the batch's own hours, is named and drawn as itself."""
    causes = {*map(str, Cause), Hold.BATCH_WINDOW}
    assert causes == set(report_chart.CAUSES)
    assert all(STYLE.count(f"--{cause}:") == 2 and f".{cause} {{" in STYLE for cause in causes)


def test_what_is_to_be_read_stands_out() -> None:
    """Every colour of text has a contrast of 4.5 at least (WCAG 2, AA) on both grounds, by day and by night."""
    for scheme in STYLE.split("prefers-color-scheme"):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        texts = {"ink", "soft", "link", "good", "bad", *report_chart.CAUSES}
        for ground, text in itertools.product(("card", "ground"), sorted(texts)):
            dark, light = sorted((luminance(colours[ground]), luminance(colours[text])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, text)


def test_names_of_waits() -> None:
    """A wait has its name where there is room, its letter where there is a little, and else stands in the table alone."""
    around = Conditions(waits=(wait(0, 900), wait(1000, 1001, "login"), wait(1100, 1101), wait(1102, 1103, "overload")))
    found = build.add_up(batch(total=1, completed=1), [stats()], around, {}, T0)
    chart = report_chart.throughput(found, Clock(None, T0, T0 + 3600), "one", (960, 280))
    assert [band.label for band in chart.bands] == ["A: pause", "B", "", "D: overload"]
