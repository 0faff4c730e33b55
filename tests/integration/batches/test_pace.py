"""Lines that are spread over the time until a usage window resets, with a feeder on a real Redis."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from app import used_windows
from app.batches import pace
from app.batches.feeder import Feeder
from app.ways import Way
from tests.integration.batches.conftest import line
from tests.redis_server import wait_until

if TYPE_CHECKING:
    from tests.integration.batches.conftest import Night

HOUR = 3600.0
#: when a test began: all reports of a window name the same reset
BEGAN = {"at": 0}


def paced(night: Night) -> None:
    BEGAN["at"] = round(time.time())
    night.settings = replace(night.settings, pace=True)
    night.feeder.close()
    night.feeder = Feeder(night.connection, night.settings)


def used(night: Night, utilization: float, *, name: str = "five_hour", hours: float = 5.0) -> None:
    used_windows.note(night.connection, Way.CLI, {name: (utilization, BEGAN["at"] + hours * HOUR)})


def began(night: Night, hours_ago: float, utilization: float, name: str = "five_hour") -> None:
    """As if its first line had been due a while ago, in a window of which as much was used."""
    (window,) = used_windows.read(night.connection, Way.CLI)
    made = pace.Beginning(time.time() - hours_ago * HOUR, utilization, window.resets_at)
    night.connection.hset(pace.KEY, name, json.dumps(asdict(made)))


def test_no_line_is_fed_ahead_of_its_time(night: Night) -> None:
    """Half the window was used in a fifth of the time: lines wait, and say until when, until the line has come to that use."""
    paced(night)
    used(night, 0.5, hours=4.0)
    began(night, 1.0, 0.0)
    batch = night.start([line(f"line-{n}") for n in range(20)])
    assert night.look(batch).fed == 0
    until = pace.ahead_until(night.connection, night.settings, batch)
    assert until is not None
    assert 1.4 * HOUR < until - time.time() < 1.6 * HOUR
    began(night, 4.1, 0.0)
    wait_until(lambda: night.look(batch).fed > 0, "lines, half of the time having passed")
    assert pace.ahead_until(night.connection, night.settings, batch) is None


def test_the_line_begins_with_the_first_batch(night: Night) -> None:
    """What was used before that is nobody's fault: lines are fed at once, and are ahead when more is used."""
    paced(night)
    used(night, 0.6)
    batch = night.start([line(f"line-{n}") for n in range(20)])
    assert night.look(batch).fed == 4
    used(night, 0.61)
    until = pace.ahead_until(night.connection, night.settings, batch)
    assert until is not None
    assert 300 < until - time.time() <= 451
    night.connection.delete("nightshift:windows:cli")
    used(night, 0.1, hours=6.0)
    assert pace.ahead_until(night.connection, night.settings, batch) is None


def test_only_windows_that_hold_the_batch_and_end_before_it_count(night: Night) -> None:
    """Not another family's, nor a week for a batch that has a day; and nothing without the setting."""
    paced(night)
    used(night, 0.5, name="seven_day_opus", hours=4.0)
    began(night, 1.0, 0.0, "seven_day_opus")
    haiku, opus = (night.start([line(name, model=name)]) for name in ("haiku", "opus"))
    assert (night.look(haiku).fed, night.look(opus).fed) == (1, 0)
    assert pace.ahead_until(night.connection, replace(night.settings, pace=False), opus) is None
    assert pace.ahead_until(night.connection, night.settings, replace(opus, way="api")) is None
    assert pace.ahead_until(night.connection, night.settings, replace(opus, expires_at=time.time() + HOUR)) is None
