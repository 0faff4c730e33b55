"""A night in numbers: from what is known of lines, and from what went on around them."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.batches.output import LineEnd
from app.batches.record import BatchRecord, BatchStatus
from app.batches.report import build, line_stats
from app.batches.report.conditions import Conditions, Wait, WorkerNight
from app.batches.report.examples import Example
from app.batches.report.line_stats import LineStats
from app.batches.report.quantiles import Quantiles
from app.batches.storage import names
from app.batches.storage.local_disk import LocalDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_800_000_000.0


def stats(number: int = 0, at: float = 10, **fields: Any) -> LineStats:
    given: dict[str, Any] = {
        "queued_seconds": 2.0,
        "run_seconds": 1.0,
        "worker": "w1",
        "attempts": 1,
        "input_tokens": 1,
        "output_tokens": 1,
        "cost_usd": 0.0,
        "kind": LineEnd.COMPLETED,
        "cause": "",
    }
    return LineStats(number=number, ended_at=T0 + at, **(given | fields))


def batch(**fields: Any) -> BatchRecord:
    given: dict[str, Any] = {
        "id": "batch_" + "0" * 32,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file",
        "completion_window": "24h",
        "status": BatchStatus.COMPLETED,
        "created_at": T0 - 5,
        "expires_at": T0 + 86400,
        "in_progress_at": T0,
        "completed_at": T0 + 3600,
    }
    return BatchRecord(**(given | fields))


def written(tmp_path: Path, record: BatchRecord, data: bytes) -> tuple[LocalDisk, BatchRecord]:
    """The batch with these lines, all of which count."""
    (tmp_path / record.id).mkdir()
    storage = LocalDisk(tmp_path)
    return storage, replace(record, facts_bytes=storage.append(names.line_stats(record.id), 0, data))


def wait(since: float, until: float, cause: str = "paused") -> Wait:
    return Wait(cause=cause, reason="", limit="", since=T0 + since, until=T0 + until)


def test_a_night() -> None:
    """Counts are the batch's, waits that overlap count once, and the pace is that of the hours in which lines could run."""
    record = batch(total=5, completed=3, failed=1, unrun=1, input_tokens=30, cost_usd=0.25)
    found = build.add_up(
        record,
        [
            stats(at=5),
            stats(at=1900, queued_seconds=600.0, attempts=2),
            stats(at=3599, worker="w2", run_seconds=9.0),
            stats(at=3599, kind=LineEnd.FAILED, cause="worker_died"),
            stats(at=3600, kind=LineEnd.UNRUN, cause="batch_expired", queued_seconds=None, run_seconds=None, worker=""),
        ],
        Conditions(
            waits=(wait(100, 1000), wait(500, 1900, "usage_limit")),
            workers=(WorkerNight(name="w1", peak_mb=300, memory=((T0, 300.0),), recycles={"turns": 2}),),
            sampled_since=T0,
        ),
        {"worker_died": [Example(custom_id="x", message="it died")]},
        T0 + 4000,
    )
    assert (found.completed, found.failed, found.unrun, found.left, found.cost_usd) == (3, 1, 1, 0, 0.25)
    assert (found.seconds, found.waited_seconds, found.retried) == (3600, 1800, 1)
    assert found.per_hour == 8
    assert found.queue.highest == 600
    assert found.run.p50 == pytest.approx(1, rel=0.02)
    assert [(c.code, c.count, c.ran, len(c.examples)) for c in found.causes] == [
        ("worker_died", 1, True, 1),
        ("batch_expired", 1, False, 0),
    ]
    assert [(w.name, w.requests, w.failed, w.peak_mb, dict(w.recycles)) for w in found.workers] == [
        ("w1", 3, 1, 300, {"turns": 2}),
        ("w2", 1, 0, None, {}),
    ]
    assert (sum(found.curve.completed), sum(found.curve.failed)) == (3, 1)
    assert found.curve.since <= T0
    assert found.curve.until >= T0 + 3600
    assert found.missing == []


def test_a_batch_that_runs() -> None:
    """What is not done yet is told, and the time goes until the report was made."""
    record = batch(status=BatchStatus.IN_PROGRESS, completed_at=None, total=10, completed=1)
    found = build.add_up(record, [stats()], Conditions(sampled_since=T0), {}, T0 + 60)
    assert (found.left, found.ended_at, found.seconds, found.is_final) == (9, None, 60, False)


def test_what_is_not_known_is_told() -> None:
    """Lines of which nothing was written down, and workers that were not sampled, are named as missing."""
    found = build.add_up(batch(total=3, completed=3), [stats()], Conditions(), {}, T0)
    assert len(found.missing) == 2
    assert "1 of 3" in found.missing[0]


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    """4,000 lines are added up in the memory of a few, and causes and workers without end become `others`."""

    def lines() -> Iterator[bytes]:
        for n in range(4_000):
            yield line_stats.encode(
                stats(n, n / 10, worker=f"w{n}", kind=LineEnd.FAILED, cause=f"c{n}", run_seconds=float(n))
            )

    record = batch(total=4_000, failed=4_000)
    storage, record = written(tmp_path, record, b"".join(lines()))
    tracemalloc.start()
    try:
        found = build.add_up(record, line_stats.read(storage, record), Conditions(), {}, T0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 512 * 1024
    assert len(found.causes) == build.MAX_CAUSES + 1
    assert len(found.workers) == build.MAX_WORKERS + 1
    assert sum(cause.count for cause in found.causes) == sum(worker.requests for worker in found.workers) == 4_000


def test_only_what_counts_is_read(tmp_path: Path) -> None:
    """Bytes beyond the counted length, and half a line, are not read."""
    first, second = line_stats.encode(stats(1)), line_stats.encode(stats(2))
    storage, record = written(tmp_path, batch(), first + second)
    for length in (len(first), len(first) + 10):
        assert [one.number for one in line_stats.read(storage, replace(record, facts_bytes=length))] == [1]
    storage.remove(names.line_stats(record.id))
    assert list(line_stats.read(storage, record)) == []


def test_quantiles_are_within_a_hundredth() -> None:
    """The classes lose no more than that of what sorting would tell, and nothing is nothing."""
    numbers = random.Random(7)
    values = [numbers.lognormvariate(0, 2) for _ in range(5000)]
    found = Quantiles()
    for value in values:
        found.add(value)
    for share in (0.01, 0.5, 0.95, 1.0):
        assert found.at(share) == pytest.approx(sorted(values)[int(share * 5000) - 1], rel=0.011)
    assert Quantiles().at(0.5) == 0
