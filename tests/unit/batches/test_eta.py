"""When a batch will be done."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from app.batches import eta
from app.batches.record import BatchRecord, BatchStatus
from app.wait_log import Closing

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


def wait(since: float, until: float) -> Closing:
    return Closing("usage_limit", "", "", since, until)


@pytest.mark.parametrize(
    ("waits", "opens_at", "expected"),
    [
        ([], NOON, NOON + 2 * HOUR),
        ([wait(NOON - HOUR, NOON - HOUR / 2), wait(NOON - HOUR, NOON - HOUR / 2)], NOON, NOON + HOUR),
        ([wait(NOON - HOUR / 2, math.inf)], NOON + HOUR, NOON + 2 * HOUR),
        ([wait(NOON - HOUR / 2, math.inf)], None, None),
    ],
    ids=["pace", "waits count once", "after the gate has opened", "nobody knows when it opens"],
)
def test_pace(waits: list[Closing], opens_at: float | None, expected: float | None) -> None:
    """What is left takes as long as what was done, waits left out, from when lines can run."""
    assert eta.done_at(batch(), waits, "", NOON, opens_at) == expected


def test_window() -> None:
    """Hours in which the window is closed are in neither the pace nor, unseen, in what is left."""
    hours = "11:30-13:00"
    # 100 lines in half an hour; an hour for the 200 that are left is just until the window closes.
    assert eta.done_at(batch(), [], hours, NOON, NOON) == NOON + HOUR
    later = eta.done_at(batch(total=400), [], hours, NOON, NOON)
    assert later == NOON + 24 * HOUR
    own = eta.done_at(batch(window="00:00-23:59"), [], hours, NOON, NOON)
    assert own == NOON + 2 * HOUR


@pytest.mark.parametrize(
    "fields",
    [{"completed": 2, "failed": 0}, {"status": BatchStatus.CANCELLING}, {"total": 10**9}],
    ids=["too few", "ends otherwise", "beyond the horizon"],
)
def test_nobody_can_tell(fields: dict[str, Any]) -> None:
    """Then there is no time, rather than a wrong one."""
    assert eta.done_at(batch(**fields), [], "", NOON, NOON) is None
