"""`nightshift pause` and `resume`: times as people write them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from ops.cli import gate


def test_a_time_of_day_is_the_next_one() -> None:
    """A time that has passed today is tomorrow's."""
    for text in ("00:00", "12:00", "23:59"):
        found = gate.moment(text)
        assert time.time() < found <= time.time() + 25 * 3600
        assert datetime.fromtimestamp(found).astimezone().strftime("%H:%M") == text


def test_a_date_is_taken_as_it_is() -> None:
    """An ISO date and time is that moment on this machine's clock."""
    later = (datetime.now().astimezone() + timedelta(days=2)).replace(microsecond=0)
    assert gate.moment(later.isoformat()) == later.timestamp()


@pytest.mark.parametrize("text", ["soon", "25:00", "2020-01-01T00:00"])
def test_other_times_are_refused(text: str) -> None:
    """What is no time, or has passed, is a usage error that shows the form."""
    with pytest.raises(ValueError, match="takes "):
        gate.moment(text)
