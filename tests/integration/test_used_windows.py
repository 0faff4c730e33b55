"""How much of the usage windows is used, on a real Redis: as answers report it, and where it shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app import used_windows, way_status
from app.jobs.store import Jobs
from app.messages.answer import Window
from app.settings import Settings
from app.ways import Way
from tests.engine import ScriptedEngine, answer
from tests.integration.jobs.test_runs import signals, submit, worker_with

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["signals"]

#: two resets, far enough from the time at which the module is read
SOON, LATER = time.time() + 5 * 3600, time.time() + 9 * 3600


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def seen(connection: Redis) -> dict[str, tuple[float, float]]:
    return {one.name: (one.utilization, one.resets_at) for one in used_windows.read(connection, Way.CLI)}


def test_the_highest_report_of_the_latest_window_counts(connection: Redis) -> None:
    """Workers report in any order, and a Claude process what it was told a while ago: within a window its use only grows."""
    for windows in (
        {"five_hour": (0.3, SOON), "seven_day": (0.1, LATER)},
        {"five_hour": (0.2, SOON)},
        {"five_hour": (0.4, SOON)},
    ):
        used_windows.note(connection, Way.CLI, windows)
    assert seen(connection) == {"five_hour": (0.4, SOON), "seven_day": (0.1, LATER)}
    used_windows.note(connection, Way.CLI, {"five_hour": (0.0, LATER)})
    assert seen(connection)["five_hour"] == (0.0, LATER)
    used_windows.note(connection, Way.CLI, {"five_hour": (0.9, SOON)})
    assert seen(connection)["five_hour"] == (0.0, LATER)


def test_a_window_that_began_anew_is_not_shown(connection: Redis) -> None:
    """Nobody knows of the new one before an answer reports it; the key ends with the last window."""
    now = time.time()
    used_windows.note(connection, Way.CLI, {"five_hour": (0.3, now + 0.2), "seven_day": (0.1, SOON)})
    used_windows.note(connection, Way.CLI, {"seven_day_opus": (0.3, now - 1)})
    time.sleep(0.3)
    assert list(seen(connection)) == ["seven_day"]
    assert 0 < connection.expiretime("nightshift:windows:cli") - SOON <= 2


def test_an_answer_reports_the_windows_of_its_way(connection: Redis, redis_url: str) -> None:
    """They show in the status of that way, and of no other."""
    submit(Jobs(connection, Settings()))
    worker_with(ScriptedEngine(answer("fine", windows=(Window("five_hour", 0.37, SOON),))), redis_url).work(burst=True)
    (cli,) = way_status.read(connection, Settings().ways)
    assert [(one.name, one.utilization) for one in cli.windows] == [("five_hour", 0.37)]
    assert used_windows.read(connection, Way.API) == []
