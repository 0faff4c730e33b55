"""The page's sentence: the most important thing first."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from api.overview import headline
from api.overview.headline import Moment
from api.overview.past import Past, Step
from api.overview.snapshot import Batch, Snapshot, Worker
from app.batches.record import BatchRecord, BatchStatus, Hold
from app.batches.waits import WAITS
from app.gate import BY_HAND, Cause, Closed
from app.history import Ended
from app.worker_status import WorkerState, WorkerStatus

NOW = time.time()
SOON = NOW + 600
#: holds that have a headline of their own, or are work
_SAID_ELSEWHERE = (
    *(Hold.BATCH_WINDOW, Hold.NO_FEEDER, Hold.FILES_ELSEWHERE, Hold.FILES_UNUSABLE),
    Hold.MESSAGE_BATCHES,
)


def worker(state: WorkerState = WorkerState.BUSY, *, is_alive: bool = True, reason: str = "") -> Worker:
    return Worker(status=WorkerStatus(name="w", state=state, reason=reason), is_alive=is_alive, job=None, memory=())


def batch(done: int, total: int, done_at: float | None = SOON, **fields: Any) -> Batch:
    record = BatchRecord(
        id="batch_x",
        endpoint="/v1/chat/completions",
        input_file_id="file-x",
        completion_window="24h",
        status=BatchStatus.IN_PROGRESS,
        created_at=NOW,
        expires_at=NOW,
        total=total,
        completed=done,
    )
    return Batch(record=record, name="night.jsonl", done_at=done_at, **fields)


def closed(cause: Cause, until: float, reason: str = "why") -> dict[str, Any]:
    return {"closed": Closed(cause, NOW, until, until, reason)}


def snapshot(**fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "at": NOW,
        "offline": False,
        "closed": None,
        "queued": 0,
        "in_progress": 2,
        "oldest_seconds": 0.0,
        "undelivered": 0,
        "has_feeder": True,
        "is_persisting": True,
        "workers": [worker(), worker()],
        "ways": [],
        "batches": [],
        "past": Past(60, [Step(NOW, 0, 0, 0)], [], [], {}, {}),
        "ended": Ended(0, {}, 0, 0, 0.0),
        "lately": Ended(0, {}, 0, 0, 0.0),
        "clocks_off": {},
        "closed_families": {},
        "parked": 0,
    }
    return Snapshot(**{**values, **fields})


IDLE = [worker(WorkerState.IDLE)]
NOBODY: dict[str, Any] = {"workers": IDLE, "in_progress": 0}
CASES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"batches": [batch(1240, 2000)]},
        "good",
        "All is well: 2 workers busy, 1,240 of 2,000 done, the rest by about <clock>.",
    ),
    ({"batches": [batch(1, 9, None)], "queued": 4}, "good", "All is well: 2 workers busy, 1 of 9 done."),
    ({"queued": 1, "in_progress": 1}, "good", "All is well: 1 of 2 workers busy, 1 request waiting."),
    (NOBODY, "good", "All is well: 1 worker idle, nothing to do."),
    ({"workers": [worker(), worker(is_alive=False)]}, "waiting", "1 worker busy, nothing waits."),
    ({"workers": [worker(is_alive=False)], "queued": 12}, "bad", "No worker is running; 12 requests waiting."),
    ({"workers": []} | closed(Cause.PAUSED, math.inf), "bad", "No worker is running."),
    (closed(Cause.PAUSED, math.inf), "waiting", "Paused until somebody resumes."),
    (closed(Cause.PAUSED, SOON) | {"queued": 3}, "waiting", "Paused until <clock> (<countdown>); 3 requests waiting."),
    (
        closed(Cause.USAGE_LIMIT, SOON) | {"batches": [batch(5, 9)]},
        "waiting",
        "Waiting for the usage limit until <clock> (<countdown>); 4 of 9 requests left.",
    ),
    (closed(Cause.USAGE_LIMIT, NOW - 1), "waiting", "The usage limit should be over: a request tries."),
    (
        {
            "closed_families": {"opus": Closed(Cause.USAGE_LIMIT, NOW - 60, SOON, SOON, "used up", "seven_day_opus")},
            "parked": 3,
        },
        "waiting",
        "Opus waits (usage limit) until <clock> (<countdown>); 3 requests parked; the rest goes on: 2 workers busy, nothing waits.",
    ),
    (closed(Cause.LOGIN, SOON), "bad", "Claude's login does not work."),
    (closed(Cause.OVERLOAD, SOON), "waiting", "Claude is overloaded; tries again <countdown>."),
    (NOBODY | {"workers": [worker(WorkerState.PAUSED)]}, "good", "All is well: 1 worker idle, nothing to do."),
    ({"workers": [worker(WorkerState.STARTING)]}, "waiting", "The workers are starting."),
    (
        {"workers": [worker(WorkerState.UNAVAILABLE, reason="no CLI")]},
        "bad",
        "No worker can serve: unavailable.",
    ),
    (
        NOBODY | {"batches": [batch(0, 9, waiting_for="batch_window", waiting_until=SOON)]},
        "waiting",
        "Waiting for the batch window until <clock> (<countdown>).",
    ),
    (
        {"ended": Ended(30, {"stalled": 4, "overloaded": 16}, 0, 0, 0.0)},
        "bad",
        "Much failed: 20 of 50 that ended in these hours, most by overloaded.",
    ),
    (
        {"ended": Ended(2000, {"worker_died": 18}, 0, 0, 0.0), "lately": Ended(36, {"worker_died": 18}, 0, 0, 0.0)},
        "bad",
        "Much fails: 18 of 54 that ended in the last minutes, most by worker_died.",
    ),
    (
        {"batches": [batch(1, 9, waiting_for="files_elsewhere", waiting_reason="Its files are in /b on b.")]},
        "bad",
        "1 batch can't go on.",
    ),
    ({"clocks_off": {"b": 60.0}}, "bad", "The clock of b is 60.0 s ahead of Redis'."),
    (
        {"is_persisting": False} | closed(Cause.PAUSED, math.inf),
        "bad",
        "Redis does not keep on its disk what it holds: what is accepted may be lost with it.",
    ),
    ({"batches": [batch(1, 9)], "has_feeder": False}, "bad", "The batches stand: no process does their work."),
    ({"has_feeder": False}, "good", "All is well: 2 workers busy, nothing waits."),
    ({"ended": Ended(999, {"stalled": 20}, 0, 0, 0.0)}, "good", "All is well: 2 workers busy, nothing waits."),
]


@pytest.mark.parametrize(("fields", "tone", "expected"), CASES, ids=[case[2][:40] for case in CASES])
def test_sentence(fields: dict[str, Any], tone: str, expected: str) -> None:
    """One sentence for each state of things, and how it is meant."""
    found = headline.of(snapshot(**fields))
    said = "".join(f"<{part.shown}>" if isinstance(part, Moment) else part for part in found.sentence)
    assert (found.tone, said) == (tone, expected)


def test_details() -> None:
    """What Claude or whoever paused said, what a worker said, and what does not hold up the night."""
    assert headline.of(snapshot(**closed(Cause.PAUSED, math.inf, "maintenance"))).details == ["maintenance"]
    assert headline.of(snapshot(**closed(Cause.PAUSED, math.inf, BY_HAND))).details == []
    ill = headline.of(snapshot(workers=[worker(WorkerState.UNAVAILABLE, reason="no CLI")]))
    assert ill.details == ["no CLI"]
    assert headline.of(snapshot(undelivered=2)).details == ["2 callbacks could not be delivered."]
    assert headline.of(snapshot(workers=[worker(), worker(is_alive=False)])).details == ["1 of 2 workers is gone."]


@pytest.mark.parametrize("hold", [one for one in Hold if one not in _SAID_ELSEWHERE])
def test_batches_that_wait_for_a_word_or_for_room_are_not_all_well(hold: Hold) -> None:
    waiting = batch(3, 10, None, waiting_for=hold, waiting_until=SOON, waiting_reason="It has spent $5.")
    found = headline.of(snapshot(in_progress=0, batches=[waiting]))
    assert (found.tone, found.title, found.details) == ("waiting", "A batch waits", ["It has spent $5."])
    assert found.sentence[0] == f"1 batch waits: {WAITS[hold].clause}"
    assert Moment(SOON, "clock") in found.sentence


def test_those_that_are_held_are_said_while_others_go_on() -> None:
    held = [batch(3, 10, None, waiting_for=Hold.KEY_BUDGET) for _ in range(2)]
    found = headline.of(snapshot(batches=[*held, batch(1, 10)]))
    assert (found.tone, found.details) == ("good", ["2 batches wait: its key's budget is used up."])
    both = [*held, batch(3, 10, None, waiting_for=Hold.TRIED)]
    assert headline.of(snapshot(in_progress=0, batches=both)).sentence == (
        "3 batches wait: its key's budget is used up; its first requests were tried",
        ".",
    )
