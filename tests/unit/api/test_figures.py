"""Numbers as people read them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from api import figures
from api.figures import Clock
from app.money import money

#: Sunday, 25 October 2026, 00:30 UTC: the clocks of Berlin go back half an hour later
AUTUMN = 1792888200.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.08, "80 ms"),
        (1, "1 s"),
        (2.54, "2.5 s"),
        (59.6, "1 min"),
        (3599.7, "1 h"),
        (24_010, "6 h 40 min"),
        (86_400 + 60, "1 d"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    """Two units at most, the large ones first."""
    assert figures.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "$0.00"), (1234.5, "$1,234.50"), (0.0444, "$0.044"), (0.000039, "$0.000039"), (-0.0025, "-$0.0025")],
)
def test_money(usd: float, text: str) -> None:
    """Small sums are not nothing."""
    assert money(usd) == text


def test_share() -> None:
    """One that failed of many is never 0%, nor what lacks one 100%."""
    assert [figures.share(n, 100_000) for n in (0, 1, 50_000, 99_999, 100_000)] == [
        "0%",
        "<0.1%",
        "50.0%",
        ">99.9%",
        "100%",
    ]
    assert figures.share(0, 0) == "0%"


def test_compact() -> None:
    """Three digits and a unit."""
    assert [figures.compact(n) for n in (7, 999, 12_345, 4_560_000)] == ["7", "999", "12.3 K", "4.56 M"]
    assert [figures.size(n) for n in (150, 35_700)] == ["150 B", "35.7 KB"]


def test_clocks_go_back() -> None:
    """Times are those of the place, through the night in which they change, with the day where there are several."""
    clock = Clock(ZoneInfo("Europe/Berlin"), AUTUMN - 86400, AUTUMN + 3600)
    assert [clock.time(AUTUMN + n) for n in (-86400, 0, 3600)] == ["Sat 02:30", "Sun 02:30", "Sun 02:30"]
    assert clock.zone == "Europe/Berlin"
    assert clock.iso(AUTUMN + 3600) == "2026-10-25T02:30:00+01:00"
