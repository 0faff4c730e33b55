"""When a batch will be done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.batches import eta
from app.batches.record import BatchRecord, BatchStatus
from app.batches.report import conditions
from app.batches.report.conditions import Wait

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0


def batch(**fields: Any) -> BatchRecord:
    values: dict[str, Any] = {
        "id": "batch_x",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-x",
        "completion_window": "24h",
        "status": BatchStatus.IN_PROGRESS,
        "created_at": NOON - HOUR,
        "in_progress_at": NOON - HOUR,
        "expires_at": NOON + 23 * HOUR,
        "total": 300,
        "completed": 90,
        "failed": 10,
    }
    return BatchRecord(**{**values, **fields})


@pytest.mark.parametrize(
    ("worked", "opens_at", "expected"),
    [
        (HOUR, NOON, NOON + 2 * HOUR),
        (HOUR / 2, NOON, NOON + HOUR),
        (HOUR / 2, NOON + HOUR, NOON + 2 * HOUR),
        (HOUR / 2, None, None),
        (0.0, NOON, None),
    ],
    ids=["pace", "waits", "after the gate has opened", "nobody knows when it opens", "nothing could run"],
)
def test_pace(worked: float, opens_at: float | None, expected: float | None) -> None:
    """What is left takes as long as what was done, waits left out, from when lines can run."""
    assert eta.done_at(batch(), worked, "", NOON, opens_at) == expected


def test_window() -> None:
    """Hours in which the window is closed are not, unseen, in what is left."""
    hours = "11:30-13:00"
    # 100 lines in half an hour; an hour for the 200 that are left is just until the window closes.
    assert eta.done_at(batch(), HOUR / 2, hours, NOON, NOON) == NOON + HOUR
    later = eta.done_at(batch(total=400), HOUR / 2, hours, NOON, NOON)
    assert later == NOON + 24 * HOUR
    own = eta.done_at(batch(window="00:00-23:59"), HOUR, hours, NOON, NOON)
    assert own == NOON + 2 * HOUR


def test_a_wait_within_a_wait_counts_once() -> None:
    """The time that a batch has worked is without the times in which no line could start, each second of them once."""
    assert conditions.covered([wait(5, 9), wait(0, 4), wait(2, 3), wait(3, 6)]) == 9
    assert conditions.covered([]) == 0


def wait(since: float, until: float, way: str = "") -> Wait:
    return Wait(cause="usage_limit" if way else "paused", reason="", limit="", since=since, until=until, way=way)


@pytest.mark.parametrize(
    ("waits", "ways", "seconds"),
    [
        ([wait(0, 9, "cli")], ("cli",), 9),
        ([wait(0, 9, "cli")], (), 9),
        ([wait(0, 9, "cli")], ("cli", "api"), 0),
        ([wait(0, 9, "cli"), wait(4, 20, "api")], ("cli", "api"), 5),
        ([wait(0, 9, "cli"), wait(4, 6, "api"), wait(5, 8, "api")], ("cli", "api"), 4),
        ([wait(0, 9, "cli"), wait(4, 6, "api"), wait(5, 8)], ("cli", "api"), 4),
        ([wait(0, 9, "cli"), wait(0, 9, "api")], ("cli", "batches", "api"), 0),
    ],
)
def test_a_line_that_may_go_several_ways_waits_while_all_are_closed(
    waits: list[Wait], ways: tuple[str, ...], seconds: float
) -> None:
    """A pause is for all of them."""
    assert conditions.covered(waits, ways) == seconds


@pytest.mark.parametrize(
    "fields",
    [{"completed": 2, "failed": 0}, {"status": BatchStatus.CANCELLING}, {"total": 10**9}],
    ids=["too few", "ends otherwise", "beyond the horizon"],
)
def test_nobody_can_tell(fields: dict[str, Any]) -> None:
    """Then there is no time, rather than a wrong one."""
    assert eta.done_at(batch(**fields), HOUR, "", NOON, NOON) is None
