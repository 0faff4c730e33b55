"""`NIGHTSHIFT_STOP_AT_UTILIZATION`: one share for all windows, or one for each."""

from __future__ import annotations

import pytest

from app.settings import Settings, SettingsError
from app.usage_shares import Shares, read


@pytest.mark.parametrize(
    ("text", "five_hour", "opus"),
    [
        ("0", 0.0, 0.0),
        ("0.8", 0.8, 0.8),
        ("five_hour=0.8, seven_day_opus=0.5", 0.8, 0.5),
        ("seven_day_opus=0.5", 0.0, 0.5),
        ("0.9, seven_day_opus = 0.5", 0.9, 0.5),
        ("0.9,seven_day_opus=0", 0.9, 0.0),
    ],
)
def test_shares_are_read_as_they_are_spelled(text: str, five_hour: float, opus: float) -> None:
    """A window without a share of its own has the plain one, or none; processes hand it on as text."""
    shares = read(text)
    assert (shares.of("five_hour"), shares.of("seven_day_opus")) == (five_hour, opus)
    assert read(str(shares)) == shares
    settings = Settings.from_environment({"NIGHTSHIFT_STOP_AT_UTILIZATION": text, "HOME": "/tmp"})
    assert Settings.from_environment({**settings.to_environment(), "HOME": "/tmp"}).stop_at_utilization == shares


@pytest.mark.parametrize("text", ["1.5", "-1", "most", "nan", "five_hour=2", "five_hour=", "five_hours=0.5"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """With the setting's name, what it takes, and the windows that there are."""
    with pytest.raises(SettingsError, match=r"NIGHTSHIFT_STOP_AT_UTILIZATION=.* takes a share from 0 to 1.*five_hour"):
        Settings.from_environment({"NIGHTSHIFT_STOP_AT_UTILIZATION": text, "HOME": "/tmp"})


def test_nothing_is_left_by_default() -> None:
    """All of each window may be used."""
    assert Settings().stop_at_utilization == Shares()
