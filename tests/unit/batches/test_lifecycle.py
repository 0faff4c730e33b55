"""Each change of a batch's state, without Redis: what is decided of a record and an event."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from app.batches import counting, lifecycle
from app.batches.change import Change, Found, LineJob, LineRuns, NotFed
from app.batches.output import Ended, LineEnd
from app.batches.record import BatchRecord, BatchStatus
from app.errors import ErrorReply
from app.jobs.record import JobKind, JobRecord, Status

NOW = 1_800_000_000.0
OPEN = [status for status in BatchStatus if not status.is_final]
FINAL = [status for status in BatchStatus if status.is_final]


def batch(status: BatchStatus = BatchStatus.IN_PROGRESS, **fields: Any) -> BatchRecord:
    given: dict[str, Any] = {
        "id": "batch_" + "0" * 32,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-in",
        "completion_window": "24h",
        "created_at": NOW - 60,
        "expires_at": NOW + 86400,
        "output_file": "file-out",
        "error_file": "file-err",
    }
    return BatchRecord(status=status, **(given | fields))


def job(status: Status = Status.QUEUED, **fields: Any) -> JobRecord:
    return JobRecord(
        id="batch_req_0",
        kind=JobKind.BATCH_LINE,
        status=status,
        model="haiku",
        created_at=NOW,
        deadline_at=NOW + 9,
        **fields,
    )


def line(number: int) -> LineJob:
    return LineJob(number, job(), {})


def found(record: BatchRecord) -> Found:
    return Found(record, NOW)


def changed(change: Change) -> dict[str, Any]:
    """The fields of the record that are others than before."""
    return {name: value for name, value in vars(change.after).items() if getattr(change.before, name) != value}


def is_nothing(change: Change) -> bool:
    return change == Change(before=change.before, after=change.before)


LOOKED_AT: dict[str, Any] = {"total": 9, "faults": 0, "refused": 2, "model": "haiku"}


@pytest.mark.parametrize(
    ("fields", "in_flight", "lines"),
    [
        ({}, 0, math.inf),
        ({"max_cost_usd": 1.0}, 0, 4),
        ({"max_cost_usd": 1.0}, 3, 1),
        ({"max_cost_usd": 1.0, "failed": 9}, 3, 1),
        ({"max_cost_usd": 1.0, "cost_usd": 0.3, "wasted_usd": 0.2, "dearest_usd": 0.1, "completed": 5}, 0, 5),
        ({"max_cost_usd": 1.0, "cost_usd": 0.5, "dearest_usd": 0.1, "completed": 5}, 0, 5),
        ({"max_cost_usd": 1.0, "cost_usd": 0.5, "dearest_usd": 0.1, "completed": 5}, 4, 1),
        ({"max_cost_usd": 1.0, "cost_usd": 0.95, "dearest_usd": 0.1, "completed": 9}, 0, 0),
        ({"max_cost_usd": 1.0, "cost_usd": 0.1, "dearest_usd": 0.1, "completed": 2, "unpriced": 1}, 0, 0),
        ({"max_tokens": 100, "input_tokens": 30, "output_tokens": 20, "dearest_tokens": 25, "completed": 2}, 0, 2),
        (
            {"max_tokens": 100, "input_tokens": 50, "dearest_tokens": 25, "max_cost_usd": 9.0, "dearest_usd": 1.0},
            0,
            2,
        ),
    ],
)
def test_how_many_lines_a_budget_is_good_for(fields: dict[str, Any], in_flight: int, lines: float) -> None:
    assert batch(total=99, **fields).affordable(in_flight) == lines


def test_a_file_without_faults_runs() -> None:
    """Validating to in_progress, with how many lines there are and how many will be refused."""
    change = lifecycle.validated(found(batch(BatchStatus.VALIDATING, stuck="no disk")), **LOOKED_AT)
    assert changed(change) == {
        "status": BatchStatus.IN_PROGRESS,
        "in_progress_at": NOW,
        "total": 9,
        "refused": 2,
        "model": "haiku",
        "stuck": "",
    }
    assert not change.ends


def test_a_file_with_faults_fails() -> None:
    """Validating to failed, which is an end, and nothing of it can be asked for."""
    change = lifecycle.validated(found(batch(BatchStatus.VALIDATING)), **(LOOKED_AT | {"faults": 3}))
    assert (change.after.status, change.after.failed_at, change.after.faults) == (BatchStatus.FAILED, NOW, 3)
    assert (change.ends, change.files) == (True, ())


def test_a_batch_that_was_cancelled_before_it_was_looked_at() -> None:
    """Its lines are counted, to be named one by one; with faults there are none to name, and it ends."""
    record = batch(BatchStatus.CANCELLING)
    assert changed(lifecycle.validated(found(record), **LOOKED_AT)) == {"total": 9, "model": "haiku"}
    ended = lifecycle.validated(found(record), **(LOOKED_AT | {"faults": 1}))
    assert (ended.after.status, ended.after.cancelled_at, ended.ends) == (BatchStatus.CANCELLED, NOW, True)


@pytest.mark.parametrize("status", [BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING, *FINAL])
def test_a_look_that_comes_twice_changes_nothing(status: BatchStatus) -> None:
    """The first one has moved it, or it has ended meanwhile."""
    assert is_nothing(lifecycle.validated(found(batch(status)), **LOOKED_AT))


@pytest.mark.parametrize("status", [BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS])
def test_what_goes_on_is_cancelled(status: BatchStatus) -> None:
    """It is cancelling first: what runs has to end, and what never ran is named."""
    assert changed(lifecycle.cancel(found(batch(status)))) == {
        "status": BatchStatus.CANCELLING,
        "cancelling_at": NOW,
    }


@pytest.mark.parametrize("status", [BatchStatus.CANCELLING, BatchStatus.CANCELLED])
def test_a_second_cancel_changes_nothing(status: BatchStatus) -> None:
    """It is answered as the first."""
    assert is_nothing(lifecycle.cancel(found(batch(status))))


@pytest.mark.parametrize("status", [s for s in (*FINAL, BatchStatus.FINALIZING) if s is not BatchStatus.CANCELLED])
def test_what_has_ended_is_not_cancelled(status: BatchStatus) -> None:
    """A 409 that says how it is."""
    with pytest.raises(ErrorReply, match=f"status '{status}'") as raised:
        lifecycle.cancel(found(batch(status)))
    assert (raised.value.status, raised.value.code) == (409, "batch_not_cancellable")


def test_lines_are_fed_once() -> None:
    """They get jobs and move the counter, those that are refused too; decided again on that, it finds its own work."""
    lines = [line(4), line(6)]
    change = lifecycle.feed(found(batch(fed=4)), lines, again=False, refused=[5], fed=4)
    assert changed(change) == {"fed": 7}
    assert (change.submitted, change.queued, change.again) == (lines, [4, 6], [5])
    assert is_nothing(lifecycle.feed(Found(change.after, NOW, {4, 6}, {5}), lines, again=False, refused=[5], fed=4))
    with pytest.raises(NotFed):
        lifecycle.feed(Found(batch(fed=9), NOW, {4, 6}), lines, again=False, refused=[5], fed=4)


def test_lines_that_are_all_refused_are_noted_once() -> None:
    """None of them gets a job."""
    change = lifecycle.feed(found(batch(fed=4)), [], fed=4, again=False, refused=[4, 5])
    assert (changed(change), change.queued, change.again) == ({"fed": 6}, [], [4, 5])
    assert is_nothing(lifecycle.feed(Found(change.after, NOW, (), {4, 5}), [], fed=4, again=False, refused=[4, 5]))


def test_lines_that_came_back_are_fed_once_more() -> None:
    """Only those that wait for it, and the counter stays."""
    lines, record = [line(3), line(4)], batch(fed=9)
    change = lifecycle.feed(Found(record, NOW, (), {3, 4, 5}), lines, fed=9, again=True)
    assert (changed(change), change.queued) == ({}, [3, 4])
    assert is_nothing(lifecycle.feed(Found(record, NOW, {3, 4}, {5}), lines, fed=9, again=True))
    with pytest.raises(NotFed):
        lifecycle.feed(Found(record, NOW, (), {3, 5}), lines, fed=9, again=True)


@pytest.mark.parametrize("status", [status for status in BatchStatus if status is not BatchStatus.IN_PROGRESS])
def test_only_a_batch_that_runs_is_fed(status: BatchStatus) -> None:
    """Not one that was cancelled a moment ago."""
    with pytest.raises(NotFed):
        lifecycle.feed(found(batch(status)), [line(0)], fed=0, again=False)


def test_lines_that_do_not_run_are_withdrawn() -> None:
    """They are fed again with the runs that they have had; one that runs, or waits for its choices, stays."""
    jobs = {
        0: None,
        1: job(deaths=1, attempts=2, sends=1),
        2: job(),
        3: job(Status.IN_PROGRESS),
        4: job(choices=2),
    }
    change = lifecycle.withdraw(found(batch()), jobs)
    assert list(change.again) == list(change.forgotten) == [0, 1, 2]
    assert change.runs == {1: LineRuns(attempts=2, deaths=1, sends=1)}


USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ENDED = [
    (0, Ended(LineEnd.COMPLETED, b"", USAGE, 0.5)),
    (1, Ended(LineEnd.COMPLETED, b"", USAGE, None)),
    (2, Ended(LineEnd.FAILED, b"", {}, 0.25, cause="x")),
    (7, Ended(LineEnd.UNRUN, b"", {}, cause="y")),
]


def test_a_failed_line_counts_for_the_workers_as_much_as_the_others_on_average() -> None:
    """Or a key whose lines all fail would never have had its share. One that was refused before it had a job costs no worker anything."""
    record = batch(fed=9, total=9, completed=2, input_tokens=300, output_tokens=101, failed_tokens=7)
    lines = [(number, Ended(LineEnd.FAILED, b"", usage)) for number, usage in enumerate(({}, {}, USAGE, {}))]
    after = counting.collected(found(record)._replace(queued={0, 1, 2}), record, lines, {}, offline=False).after
    assert after.failed_tokens == 7 + 401
    assert after.served_tokens == 401 + 8 + 7 + 401
    unrun = [(0, Ended(LineEnd.UNRUN, b"", {}))]
    ended = counting.collected(found(record)._replace(queued={0}), record, unrun, {}, offline=False).after
    assert ended.failed_tokens == 7


def test_what_a_line_is_expected_to_come_to() -> None:
    """As those that were answered; before that by its bytes; of a batch of older code nobody knows."""
    assert batch(completed=4, failed=9, input_tokens=90, output_tokens=10, total=20, input_bytes=1).line_tokens == 25
    assert batch(total=20, input_bytes=8000).line_tokens == 100
    assert batch(total=20, input_bytes=1).line_tokens == 1
    assert batch(total=20).line_tokens == 1000


def test_lines_in_the_files_count_once() -> None:
    """With tokens and cost; those that had jobs are forgotten, and lines that were counted already are not again."""
    record = batch(fed=3, total=9, output_bytes=10, error_bytes=20)
    written = {"output_bytes": 110, "error_bytes": 120, "facts_bytes": 130, "fed": 8}
    change = counting.collected(found(record), record, ENDED, written, offline=True)
    assert changed(change) == {
        "completed": 2,
        "failed": 1,
        "unrun": 1,
        "input_tokens": 6,
        "output_tokens": 10,
        "cached_tokens": 2,
        "reasoning_tokens": 4,
        "cost_usd": 0.5,
        "wasted_usd": 0.25,
        "dearest_usd": 0.5,
        "dearest_tokens": 8,
        "unpriced": 1,
        "output_bytes": 110,
        "error_bytes": 120,
        "facts_bytes": 130,
        "fed": 8,
        "offline": True,
    }
    assert (change.collected, change.forgotten) == ([0, 1, 2, 7], [0, 1, 2])
    assert (change.after.ended, change.after.known_cost_usd()) == (4, 0.5)
    assert is_nothing(counting.collected(found(change.after), record, ENDED, written, offline=True))


@pytest.mark.parametrize("status", list(BatchStatus))
def test_only_what_runs_is_finalized(status: BatchStatus) -> None:
    """Whatever else it is, it stays so."""
    change = lifecycle.finalize(found(batch(status)))
    if status is BatchStatus.IN_PROGRESS:
        assert changed(change) == {"status": BatchStatus.FINALIZING, "finalizing_at": NOW}
    else:
        assert is_nothing(change)


@pytest.mark.parametrize("status", [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED])
def test_the_end(status: BatchStatus) -> None:
    """Both files can be asked for from then on; what has ended does not end otherwise."""
    change = lifecycle.end(found(batch(BatchStatus.FINALIZING)), status)
    assert changed(change) == {"status": status, f"{status}_at": NOW}
    assert (change.ends, change.files, change.after.ended_at) == (True, ("file-out", "file-err"), NOW)
    for other in (BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED):
        assert is_nothing(lifecycle.end(found(change.after), other))


@pytest.mark.parametrize("status", OPEN)
def test_files_that_are_lost_are_the_end_of_any_batch(status: BatchStatus) -> None:
    """It fails with `files_lost`; what is left of its files can be read, and lines without an answer count as not run."""
    record = batch(status, total=9, completed=3, failed=1)
    change = lifecycle.lose(Found(record, NOW, [4, 5]), ["file-out"])
    assert changed(change) == {"status": BatchStatus.FAILED, "failed_at": NOW, "failure": "files_lost", "unrun": 5}
    assert (change.ends, change.files, change.forgotten) == (True, ["file-out"], [4, 5])


@pytest.mark.parametrize("status", FINAL)
def test_what_has_ended_loses_nothing(status: BatchStatus) -> None:
    """Its answers were handed over, whatever becomes of the files."""
    assert is_nothing(lifecycle.lose(found(batch(status)), []))


def test_a_batch_says_why_it_is_stuck() -> None:
    """Until its files can be used again, or it moves on."""
    stuck = lifecycle.note_stuck(found(batch()), "No such disk.")
    assert changed(stuck) == {"stuck": "No such disk."}
    assert lifecycle.note_stuck(found(stuck.after), "").after == replace(stuck.before, stuck="")
    assert lifecycle.finalize(found(stuck.after)).after.stuck == ""
