"""Windows are wall-clock times: over midnight, and over the changes of summer time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app import window
from app.settings import Settings, SettingsError

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-22T21:59:59", False),
        ("2026-11-22T22:00:00", True),
        ("2026-11-23T03:00:00", True),
        ("2026-11-23T06:59:59", True),
        ("2026-11-23T07:00:00", False),
        ("2026-07-01T22:30:00", True),
        ("2026-07-01T07:30:00", False),
    ],
)
def test_open_over_midnight(moment: str, is_open: bool) -> None:
    """From ten in the evening until seven, whatever the offset from UTC is."""
    assert window.is_open("22:00-07:00 Europe/Berlin", at(moment)) is is_open


def test_the_next_change_over_summer_time() -> None:
    """The night in which clocks go forward is an hour shorter, the one in which they go back an hour longer."""
    night = window.parse("22:00-07:00 Europe/Berlin")
    assert night.next_change(at("2026-03-28T22:00:00")) - at("2026-03-28T22:00:00") == 8 * 3600
    assert night.next_change(at("2026-10-24T22:00:00")) - at("2026-10-24T22:00:00") == 10 * 3600
    assert night.next_change(at("2026-11-22T12:00:00")) == at("2026-11-22T22:00:00")


def test_a_window_in_the_hour_that_comes_twice() -> None:
    """Both times that the clock says half past two it is open."""
    short = window.parse("02:00-03:00 Europe/Berlin")
    assert short.is_open(at("2026-10-25T02:30:00", fold=0))
    assert short.is_open(at("2026-10-25T02:30:00", fold=1))


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "22:00-22:00", "22:00-07:00 Nowhere/Land", "always"])
def test_no_window(text: str) -> None:
    """What is none is refused with an example."""
    with pytest.raises(window.WindowError, match="22:00-07:00 Europe/Berlin"):
        window.parse(text)
    with pytest.raises(SettingsError, match="NIGHTSHIFT_BATCH_WINDOW"):
        Settings.from_environment({"NIGHTSHIFT_BATCH_WINDOW": text})


def test_no_window_is_always_open() -> None:
    """Without a window lines may always start."""
    assert window.is_open("", 0.0)
