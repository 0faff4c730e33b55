"""How many workers there should be, at one moment."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.scale.wanted import BatchNeed, Demand, workers_wanted

NOW = 1_800_000_000.0
HOUR = 3600.0


def batch(lines: int, due_in: float = 10.0, /, **fields: Any) -> BatchNeed:
    values: dict[str, Any] = {
        "id": "batch_x",
        "lines": lines,
        "seconds_per_line": 10.0,
        "due_at": NOW + due_in * HOUR,
        "opens_at": 0.0,
        "open_seconds": due_in * HOUR,
        "whole_seconds": fields.get("open_seconds", due_in * HOUR),
    }
    return BatchNeed(**{**values, **fields})


def wanted(**fields: Any) -> int:
    return workers_wanted(Demand(**fields), NOW).workers


#: lines of ten seconds that one worker has done in an hour, the slack left out
AN_HOURS = 306


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([], 0),
        ([batch(AN_HOURS, 1)], 1),
        ([batch(AN_HOURS + 1, 1)], 2),
        ([batch(8 * AN_HOURS, 1)], 8),
        # The second has as much time again: the first decides.
        ([batch(4 * AN_HOURS, 1), batch(AN_HOURS, 2)], 4),
        # Together they need more than the first alone.
        ([batch(AN_HOURS, 1), batch(7 * AN_HOURS, 2)], 4),
        # In whichever order they came.
        ([batch(7 * AN_HOURS, 2), batch(AN_HOURS, 1)], 4),
        # The slack is used up at the end, and more workers make up for it.
        ([batch(AN_HOURS, 1, whole_seconds=10 * HOUR)], 3),
        # No more than there are lines, however late it is.
        ([batch(3, 0.001)], 3),
        # Nothing is known of a line yet: one worker finds out.
        ([batch(50_000, 1, seconds_per_line=None)], 1),
        # What has expired is not run any more.
        ([batch(100, -1)], 0),
        # Of the ten hours its window is open for two.
        ([batch(4 * AN_HOURS, 10, open_seconds=2 * HOUR, hours="22:00-24:00 UTC")], 2),
        # Those of other hours work at the same time.
        ([batch(2 * AN_HOURS, 1), batch(3 * AN_HOURS, 10, open_seconds=HOUR, hours="22:00-23:00 UTC")], 5),
    ],
)
def test_batches_get_what_ends_them_in_time(batches: list[BatchNeed], expected: int) -> None:
    """The nearest deadline first, with some of the time to spare."""
    assert wanted(batches=batches) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"waiting": 1}, 1),
        ({"waiting": 500}, 1),
        ({"waiting": 30, "seconds_per_request": 3.0}, 3),
        ({"waiting": 5, "seconds_per_request": 300.0}, 5),
        ({"running": 2, "alive": 2}, 2),
        ({"running": 2, "waiting": 10, "seconds_per_request": 3.0}, 3),
        ({"reserve": 2}, 2),
        ({"reserve": 2, "running": 1}, 2),
        # A reserve takes no lines.
        ({"reserve": 2, "batches": [batch(AN_HOURS, 1)]}, 3),
        ({"running": 1, "batches": [batch(AN_HOURS, 1)]}, 2),
    ],
)
def test_requests_and_the_reserve_get_theirs(fields: dict[str, Any], expected: int) -> None:
    """From no worker at all, too; waiting ones begin within half a minute."""
    assert wanted(**fields) == expected


def test_no_more_than_may_be_in_flight() -> None:
    """Workers beyond NIGHTSHIFT_BATCH_IN_QUEUE would have no line."""
    assert wanted(batches=[batch(20 * AN_HOURS, 1)], lines_at_once=5) == 5


@pytest.mark.parametrize(
    ("alive", "opens_in", "is_paused", "expected"),
    [
        (8, 3 * HOUR, False, 1),
        (0, 3 * HOUR, False, 1),
        (0, math.inf, False, 1),
        (8, math.inf, True, 0),
        # A wall of overloads is over soon: what is there stays, and nothing is added.
        (3, 15.0, False, 3),
        (8, 15.0, False, 5),
        (0, 15.0, False, 1),
    ],
)
def test_a_closed_gate_is_no_reason_for_more(alive: int, opens_in: float, is_paused: bool, expected: int) -> None:
    """One worker tries whether it is still closed, where trying is of any use."""
    found = workers_wanted(
        Demand(
            batches=[batch(4 * AN_HOURS, 1, opens_at=NOW + opens_in)],
            waiting=3,
            opens_at=NOW + opens_in,
            closed="paused" if is_paused else "usage_limit",
            is_paused=is_paused,
            alive=alive,
        ),
        NOW,
    )
    assert found.workers == expected
    assert "The gate is closed" in found.reason


def test_a_batch_that_can_not_go_on_takes_nothing_from_the_others() -> None:
    """Its model's limit, its hours: others get theirs."""
    closed = batch(8 * AN_HOURS, 1, opens_at=NOW + 2 * HOUR, is_gated=True)
    assert wanted(batches=[closed, batch(2 * AN_HOURS, 1)]) == 2
    # Its hours are to come: none waits for them, and none tries.
    found = workers_wanted(Demand(batches=[batch(8, 10, opens_at=NOW + 2 * HOUR, hours="22:00-07:00 UTC")]), NOW)
    assert found.workers == 0
    assert "No line may start before" in found.reason
    assert wanted(batches=[closed]) == 1


def test_one_goes_when_the_others_are_clearly_enough() -> None:
    """A worker that is stopped may lose a turn: a need that wavers about a whole number stops none."""
    barely = [batch(3 * AN_HOURS - 20, 1)]
    assert wanted(batches=barely) == 3
    assert wanted(batches=barely, alive=4) == 4
    assert wanted(batches=[batch(2 * AN_HOURS + 100, 1)], alive=4) == 3
    assert wanted(alive=4) == 0


def test_the_reason_says_what_the_number_is_made_of() -> None:
    """The nearest deadline, the time per line, the requests."""
    found = workers_wanted(
        Demand(batches=[batch(4 * AN_HOURS, 1)], waiting=2, running=1, seconds_per_request=15.0, reserve=1), NOW
    )
    assert found.workers == 6
    assert found.reason == (
        "1,224 lines of 1 batch take 4.0 workers: the nearest deadline is batch_x's, 2027-01-15 09:00 UTC, and one takes 10.0 s."
        " Requests: 2 in the queue and 1 running take 2.0 workers. NIGHTSHIFT_RESERVE is 1."
    )
    assert workers_wanted(Demand(), NOW).reason == "There is nothing to do."
